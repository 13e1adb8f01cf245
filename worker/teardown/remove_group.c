/* The removal of VolumeGroupSnapshots: their members go with them, and what is due to those comes
   first. */
#include "teardown/remove.h"

#include "base/str.h"
#include "observe/resources.h"

/* Members that a claim is being restored from hold up snapshot-controller, too. */
static bool members_may_go(const struct clone_state *v, struct decision *d,
                           const struct leftover *group)
{
    bool ready = true;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        if (str_eq(o->member_of, group->uid) && !(o->deleting && !o->in_use))
            ready &= leftover_may_go(v, d, o, false);
    }
    return ready;
}

bool remove_groups(const struct clone_state *v, struct decision *d)
{
    bool none = true;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        if (o->kind != KIND_GROUP)
            continue;
        none = false;
        bool ready = members_may_go(v, d, o);
        if (o->deleting || !ready || !leftover_may_go(v, d, o, false))
            continue;
        struct intent *x = intents_add(
            &d->intents, INTENT_DELETE, &worker_kinds[KIND_GROUP], o->ns, o->name,
            call_key_object(CALL_DELETE, worker_kinds[KIND_GROUP].resource, NULL, o->uid));
        x->uid = o->uid;
    }
    return none;
}
