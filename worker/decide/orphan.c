/* What is left of a clone whose Wukong is gone: it goes as after any other clean-up. */
#include "decide/orphan.h"

#include "actions/event.h"
#include "base/str.h"
#include "teardown/teardown.h"

bool decide_orphan(const struct clone_state *v, struct decision *d)
{
    d->record = v->record;
    if (!v->ours_count)
        return true;
    const struct leftover *first = &v->ours[0];
    create_event(v, d, true, "OrphansRemoved",
                 "this Wukong is gone, and %zu temporary objects of it are left, %s %s/%s among "
                 "them: the worker removes them",
                 v->ours_count, worker_kinds[first->kind].kind, str_or(first->ns, ""), first->name);
    (void)teardown_remove_snapshots(v, d);
    return false;
}
