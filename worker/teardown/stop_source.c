/* The end of a source that was started for the clone. */
#include "teardown/teardown.h"

#include "actions/event.h"
#include "base/str.h"
#include "json/json.h"
#include "observe/resources.h"

/* Of a source that cannot be stopped again an Event tells so long after the deadline. */
#define STOP_LIMIT_MS 600000

bool teardown_stop_source(const struct clone_state *v, struct decision *d)
{
    const struct clone_record *r = &v->record;
    if (!clone_source_to_stop(v))
        return true;
    int64_t deadline = r->start_ms ? r->start_ms + v->effective.deadline_s * 1000 : 0;
    if (deadline && v->now.wall_ms >= deadline + STOP_LIMIT_MS)
        create_event(v, d, true, "SourceNotStopped", "%s/%s could not be stopped again",
                     v->effective.source_ns, v->source.vm_name);
    decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
    const struct call *last = call_log_find(v->call_log, call_key(CALL_STOP_SOURCE));
    if (call_ok(last) && v->now.wall_ms < last->done_ms + WAIT_POLL_MS)
        return false;
    struct intent *i =
        intents_add(&d->intents, INTENT_SUBRESOURCE, &worker_kinds[KIND_SUB_VM],
                    v->effective.source_ns, v->source.vm_name, call_key(CALL_STOP_SOURCE));
    i->sub = "stop";
    i->body = "{}";
    return false;
}
