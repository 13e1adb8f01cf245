#include "decide/restored.h"

#include "actions/create.h"
#include "actions/event.h"
#include "base/str.h"
#include "json/json.h"

/* Velero and OADP put it on what they restore (Velero pkg/apis/velero/v1/labels_annotations.go). */
#define RESTORED_LABEL "velero.io/restore-name"

/* A backup holds the spec that asks for a clone, and not the status that says that it is made: it
   would be made again, from a source that is another by now. */
bool restored_again(const struct clone_state *v)
{
    const struct wukong *w = v->wukong;
    if (json_get(v->status, "cloneStatus"))
        return false;
    for (size_t i = 0; i < w->labels.count; i++)
        if (str_eq(w->labels.items[i].key, RESTORED_LABEL))
            return true;
    return false;
}

void restored_end(const struct clone_state *v, struct decision *d)
{
    struct clone_record *r = &d->record;
    r->phase = PHASE_FAILED;
    r->completion_ms = v->now.wall_ms;
    /* What was asked before the backup is no new wish. */
    r->retry_token = v->retry;
    r->error.reason = reason_table[REASON_RESTORED].name;
    r->error.message = "it was restored from a backup without its status (label " RESTORED_LABEL
                       "), and what is over stays over: it is not cloned again";
    r->error.at_ms = v->now.wall_ms;
    r->error.terminal = true;
    create_event(v, d, true, "Restored", "%s", r->error.message);
}
