#include "clones/share_group.h"

#include <assert.h>

#include "base/str.h"
#include "observe/capture.h"
#include "observe/queries.h"

static const struct kube_object *object_of(const struct share_group *p, const struct clone *e)
{
    return e->written ? e->written : p->caches->get(p->caches->arg, KIND_WUKONG, e->ns, e->name);
}

static struct clone *first_of_source(const struct share_group *p)
{
    return clone_table_beside(p->all, p->self);
}

/* --- who needs which snapshots --- */

static bool needs(const struct clone *e, const char *uid, int64_t attempt)
{
    const struct clone_sharing *s = &e->share;
    if (!s->has_finalizer || s->released)
        return false;
    if (s->owner_uid)
        return s->owner_attempt == attempt && str_eq(s->owner_uid, uid);
    return s->begun && s->attempt == attempt && str_eq(e->uid, uid);
}

static void hold_snapshots(struct snapshot_set *list, size_t *count, const char *uid,
                           int64_t attempt)
{
    for (size_t i = 0; i < *count; i++)
        if (list[i].attempt == attempt && str_eq(list[i].uid, uid))
            return;
    list[(*count)++] = (struct snapshot_set){uid, attempt};
}

void share_group_held(const struct share_group *p, const struct clone_state *head,
                      struct observe_settings *s)
{
    const char *own = p->self->uid, *owner = head->record.attempt.shared.uid;
    size_t possible = 1;
    for (const struct clone *e = clone_table_of_group(p->all, own); e; e = e->same_group_next)
        possible++;
    struct snapshot_set *list = arena_alloc(head->arena, possible * sizeof *list);
    s->held = list;
    s->held_group_count = 0;
    for (const struct clone *e = clone_table_of_group(p->all, own); e; e = e->same_group_next)
        if (e != p->self && needs(e, own, e->share.owner_attempt))
            hold_snapshots(list, &s->held_group_count, own, e->share.owner_attempt);
    if (!owner)
        return;
    int64_t attempt = head->record.attempt.shared.attempt;
    const struct clone *leader = clone_table_by_uid(p->all, owner);
    bool needed = leader && leader != p->self && needs(leader, owner, attempt);
    for (const struct clone *e = clone_table_of_group(p->all, owner); e; e = e->same_group_next)
        needed |= e != p->self && needs(e, owner, attempt);
    if (needed)
        hold_snapshots(list, &s->held_group_count, owner, attempt);
}

/* --- who waits with whom --- */

static bool lists(const struct clone *leader, const struct clone *e)
{
    const struct clone_sharing *s = &leader->share;
    for (size_t i = 0; i < s->member_count; i++)
        if (str_eq(s->members[i].uid, e->uid))
            return str_eq(s->members[i].attempt_id, e->share.attempt_id);
    return false;
}

static bool may_take_over(const struct share_group *p, const struct clone *leader)
{
    const struct clone_sharing *s = &leader->share;
    return s->cut && share_offered(s->until_ms, s->cut_seen_ms, 0, &p->now);
}

/* Our cut is in the record, and somebody on our list may still take it over, or has and we do not
   know. */
static bool being_taken_over(const struct share_group *p)
{
    const struct clone *self = p->self;
    const struct clone_sharing *s = &self->share;
    if (!s->member_count || !s->cut)
        return false;
    bool offered = share_offered(s->until_ms, s->cut_seen_ms, SHARE_SETTLE_MS, &p->now);
    for (const struct clone *e = first_of_source(p); e; e = e->same_source_next)
        if (e != self && (offered || e->announced.base) && !e->final && !e->share.begun &&
            !e->share.deleted && !e->share.aborted && lists(self, e))
            return true;
    return false;
}

/* The one whose write that closes a group with e in it may be stored. */
static const struct clone *closing_leader(const struct share_group *p, const struct clone *e)
{
    const struct clone *leader = clone_table_by_uid(p->all, e->share.bound_by);
    return leader && leader->announced.base ? leader : NULL;
}

static enum share_role role_under(const struct share_group *p, const struct clone *leader)
{
    const struct clone_sharing *s = &leader->share;
    if (!s->begun || !s->member_count || !lists(leader, p->self))
        return SHARE_NONE;
    if (s->cut)
        return may_take_over(p, leader) ? SHARE_TAKE_OVER : SHARE_NONE;
    if (s->aborted)
        return SHARE_FAILED;
    return s->deleted || leader->final ? SHARE_NONE : SHARE_BOUND;
}

void share_group_hold_listed(struct clone_table *all, struct now now)
{
    struct clone *leader, *next;
    HASH_ITER (by_key, all->by_key, leader, next)
        for (size_t i = 0; i < leader->share.member_count; i++) {
            struct clone *e = clone_table_by_uid(all, leader->share.members[i].uid);
            const struct share_group p = {.all = all, .self = e, .now = now};
            if (!e || e->final || e->share.begun || e->share.deleted)
                continue;
            enum share_role role = role_under(&p, leader);
            if (role == SHARE_BOUND || role == SHARE_TAKE_OVER)
                usage_hold(&all->usage, &e->usage);
        }
}

static bool read_taken(const struct share_group *p, struct clone_state *v,
                       const struct clone *leader)
{
    struct clone_state other = {.arena = v->arena};
    const struct kube_object *o = object_of(p, leader);
    bool ok = o && observe_wukong(&other, o, NULL) == 0;
    v->share.taken = other.record;
    clone_state_release(&other);
    return ok;
}

/* A cut is better than a freeze under way, which is better than the news of a failure. */
static void observe_leader(const struct share_group *p, struct clone_state *v)
{
    static const unsigned rank[] = {[SHARE_TAKE_OVER] = 3, [SHARE_BOUND] = 2, [SHARE_FAILED] = 1};
    struct share_status *s = &v->share;
    for (const struct clone *e = first_of_source(p); e; e = e->same_source_next) {
        enum share_role role = e == p->self ? SHARE_NONE : role_under(p, e);
        if (rank[role] <= rank[s->role])
            continue;
        if (role != SHARE_BOUND && !read_taken(p, v, e))
            continue;
        if (role == SHARE_FAILED && !share_failure_is_common(&s->taken))
            continue;
        s->role = role;
        s->leader = e->name;
        s->leader_uid = e->uid;
    }
    const struct clone *closing = closing_leader(p, p->self);
    if (s->role == SHARE_NONE && closing) {
        s->role = SHARE_BOUND;
        s->leader = closing->name;
        s->leader_uid = closing->uid;
    }
}

/* It waits for a freeze or a cut of theirs already. */
static bool listed_by(const struct clone *const *leaders, size_t count, const struct clone *e)
{
    for (size_t i = 0; i < count; i++)
        if (leaders[i] != e && lists(leaders[i], e))
            return true;
    return false;
}

/* Has closed a group whose members may still depend on it. */
static bool leads_others(const struct share_group *p, const struct clone *e)
{
    const struct clone_sharing *s = &e->share;
    return s->member_count && s->begun && !s->deleted && !e->final &&
           (s->cut ? may_take_over(p, e) : !s->aborted);
}

static enum share_state state_of(const struct share_group *p, const struct clone *e)
{
    const struct clone_sharing *s = &e->share;
    if (s->aborted)
        return SHARE_COMING;
    return s->state == SHARE_READY && p->now.mono_ms >= s->ready_until_ms ? SHARE_COMING : s->state;
}

static struct share_candidate candidate_of(const struct share_group *p, const struct clone *e,
                                           const char *ready_key)
{
    const struct clone_sharing *s = &e->share;
    return (struct share_candidate){
        .uid = e->uid,
        .name = e->name,
        .attempt_id = s->attempt_id,
        .created_ms = s->created_ms,
        .seen_ms = s->seen_ms,
        .state = state_of(p, e),
        .equal = str_eq(s->ready_key, ready_key),
        .stuck = s->tried_ms && p->now.mono_ms > s->tried_ms + SHARE_STUCK_MS,
    };
}

/* Who waits as we do: equal in spec, not begun, and in nobody's group. */
static struct share_candidate *find_candidates(const struct share_group *p,
                                               const struct clone_state *v, const char *ready_key,
                                               size_t *ret_count)
{
    size_t n = 0, leading = 0;
    for (const struct clone *e = first_of_source(p); e; e = e->same_source_next)
        n++;
    struct share_candidate *list = arena_alloc(v->arena, (n + 1) * sizeof *list);
    const struct clone **leaders = arena_alloc(v->arena, (n + 1) * sizeof *leaders);
    for (const struct clone *e = first_of_source(p); e; e = e->same_source_next)
        if (leads_others(p, e))
            leaders[leading++] = e;
    *ret_count = 0;
    for (const struct clone *e = first_of_source(p); e; e = e->same_source_next) {
        const struct clone_sharing *s = &e->share;
        /* Bound by ourselves: the write that closes the group is tried again. */
        const struct clone *closing = closing_leader(p, e);
        bool bound = closing && closing != p->self;
        bool waits = e != p->self && !e->final && !s->deleted && (!s->begun || s->aborted) &&
                     !bound && str_eq(s->key, p->self->share.key);
        if (waits && !listed_by(leaders, leading, e))
            list[(*ret_count)++] = candidate_of(p, e, ready_key);
    }
    return list;
}

static void observe_candidates(const struct share_group *p, struct clone_state *v)
{
    CLEANUP_BUF struct buf key = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct share_status *s = &v->share;
    size_t count;
    if (!v->capture.present || v->capture.refusal || !p->self->share.key)
        return;
    share_write_ready_key(v, &key);
    struct share_candidate *list = find_candidates(p, v, key.data, &count);
    struct share_candidate self = candidate_of(p, p->self, key.data);
    self.state = SHARE_READY;
    struct share_verdict found =
        share_judge(&self, list, count, p->self->share.lead_since_ms, p->now.mono_ms);
    s->role = found.role;
    if (found.role == SHARE_FOLLOW) {
        s->leader = found.leader->name;
        s->leader_uid = found.leader->uid;
    } else if (found.role == SHARE_LINGER) {
        s->again_ms = p->now.wall_ms + found.until_ms - p->now.mono_ms;
    } else {
        s->members = share_members(v->arena, list, count, &s->member_count);
    }
}

/* --- whose turn it is to restore --- */

/* A create of a claim was sent whose object the cache does not show yet. */
static bool claim_on_its_way(const struct share_group *p, const struct clone *e)
{
    for (const struct call *c = e->call_log.calls; c; c = c->next) {
        if (c->key.kind != CALL_CREATE_CLAIM)
            continue;
        bool recent = c->state == CALL_FLYING || p->now.wall_ms < c->done_ms + CREATE_SEEN_MS;
        bool may_exist = c->state == CALL_FLYING || call_ok(c) ||
                         (call_failed(c) && c->kind != ERR_REFUSED && c->kind != ERR_EXISTS);
        if (recent && may_exist && !p->caches->get(p->caches->arg, KIND_PVC, e->ns, c->key.name))
            return true;
    }
    return false;
}

/* A claim of another member that is being restored, and has its head start. */
static bool note_restore(void *arg, const struct kube_object *o)
{
    struct clone_state *v = arg;
    const char *from = kube_object_field(o, F_DATA_SOURCE);
    if (!from || str_eq(kube_object_field(o, F_PHASE), "Bound") ||
        v->now.wall_ms >= o->created_ms + CLAIM_HEAD_START_MS)
        return true;
    for (size_t i = 0; i < v->disk_count; i++) {
        CLEANUP_FREE char *name = xasprintf("\"%s\"", str_or(v->disks[i].snapshot.name, "-"));
        v->share.busy[i] |= strstr(from, name) != NULL;
    }
    return true;
}

static void observe_restores(const struct share_group *p, struct clone_state *v,
                             const struct clone *e)
{
    if (e == p->self || e->final)
        return;
    if (claim_on_its_way(p, e))
        memset(v->share.busy, true, v->disk_count * sizeof *v->share.busy);
    p->caches->each(p->caches->arg, KIND_PVC, e->uid, note_restore, v);
}

static bool waits_for_consumer(const struct clone_state *v, size_t disk)
{
    const struct storage_class_facts *c =
        facts_storage_class(&v->classes, str_or(v->disks[disk].plan->storage_class, ""));
    return c && c->wait_for_first_consumer;
}

/* Claims of one snapshot follow one another, whoever makes them (claims_allowed in target.c).
 */
static void observe_turn(const struct share_group *p, struct clone_state *v)
{
    const char *owner = str_or(v->record.attempt.shared.uid, v->wukong->uid);
    const struct clone *first = clone_table_of_group(p->all, owner);
    if (!first || !clone_past_cut(v) || !v->disk_count || record_final(&v->record))
        return;
    v->share.busy = arena_alloc(v->arena, v->disk_count * sizeof *v->share.busy);
    const struct clone *leader = clone_table_by_uid(p->all, owner);
    if (leader)
        observe_restores(p, v, leader);
    for (const struct clone *e = first; e; e = e->same_group_next)
        observe_restores(p, v, e);
    for (size_t i = 0; i < v->disk_count; i++) {
        if (v->disks[i].plan->method != DISK_RESTORE || waits_for_consumer(v, i))
            v->share.busy[i] = false;
        for (size_t t = 0; t < v->target_count; t++)
            v->share.waits_turn |= v->share.busy[i] && !v->targets[t].claims[i].exists;
    }
}

void share_group_observe(const struct share_group *p, struct clone_state *v)
{
    if (p->self->share.cut && !p->self->share.cut_seen_ms)
        p->self->share.cut_seen_ms = p->now.mono_ms;
    v->share.taking_over = being_taken_over(p);
    observe_turn(p, v);
    if (record_final(&v->record) || v->wukong->deleted_ms || record_aborted(&v->record) ||
        share_begun(&v->record) || !share_possible(&v->effective))
        return;
    observe_leader(p, v);
    if (v->share.role == SHARE_NONE)
        observe_candidates(p, v);
}

/* --- what the others are to know --- */

static void note_state(const struct share_group *p, const struct clone_state *v,
                       const struct decision *d)
{
    CLEANUP_BUF struct buf key = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct clone_sharing *s = &p->self->share;
    if (d->share == SHARE_REREADING && state_of(p, p->self) == SHARE_READY)
        return;
    s->state = d->share == SHARE_REREADING ? SHARE_COMING : d->share;
    if (s->state != SHARE_READY || !v->capture.present || share_begun(&v->record))
        return;
    share_write_ready_key(v, &key);
    if (!str_eq(s->ready_key, key.data)) {
        free(s->ready_key);
        s->ready_key = xstrdup(key.data);
    }
    s->ready_until_ms = p->now.mono_ms + SHARE_READY_MS;
    int64_t open_ms = v->permitted_until_ms - v->now.wall_ms;
    if (v->permitted_until_ms && open_ms < SHARE_READY_MS)
        s->ready_until_ms = p->now.mono_ms + open_ms;
}

static void bind_members(const struct share_group *p, const struct clone_record *next)
{
    for (size_t i = 0; i < next->attempt.member_count; i++) {
        struct clone *m = clone_table_by_uid(p->all, next->attempt.members[i].uid);
        if (!m || !str_eq(m->share.attempt_id, next->attempt.members[i].attempt_id))
            continue;
        free(m->share.bound_by);
        m->share.bound_by = xstrdup(p->self->uid);
    }
}

void share_group_note(const struct share_group *p, const struct clone_state *v,
                      const struct decision *d)
{
    struct clone_sharing *s = &p->self->share;
    bool begins = share_begun(&d->record) && !share_begun(&v->record);
    /* Who is held up leads nobody. When that is over the others get their time to come, too. */
    bool held_up = d->share == SHARE_BLOCKED || v->policy.reason != REASON_NONE;
    bool leads = !held_up && (v->share.role == SHARE_LEAD || v->share.role == SHARE_LINGER);
    s->released = !d->holds;
    s->waits_turn = v->share.waits_turn;
    note_state(p, v, d);
    if (!leads)
        s->lead_since_ms = 0;
    else if (!s->lead_since_ms)
        s->lead_since_ms = p->now.mono_ms;
    if (!begins)
        return;
    if (!s->tried_ms)
        s->tried_ms = p->now.mono_ms;
    bind_members(p, &d->record);
    /* From now on its spec and its disks are those that the snapshot's owner captured. */
    if (d->record.attempt.shared.uid)
        call_log_forget(&p->self->call_log, CALL_CAPTURE);
}

void share_group_freed(const struct clone_table *all, const struct clone *self)
{
    for (struct clone *e = clone_table_beside(all, self); e; e = e->same_source_next)
        if (str_eq(e->share.bound_by, self->uid)) {
            free(e->share.bound_by);
            e->share.bound_by = NULL;
        }
}

static bool waits_to_share(const struct clone *e)
{
    return e->share.key && !e->final && !e->share.deleted && !e->share.begun;
}

bool share_group_equal(const struct clone *x, const struct clone *y)
{
    return waits_to_share(x) && waits_to_share(y) && str_eq(x->share.key, y->share.key);
}

static struct clone *next_turn(const struct clone_table *all, const struct clone *self)
{
    const char *owner = str_or(self->share.owner_uid, self->uid);
    struct clone *found = clone_table_by_uid(all, owner);
    if (found && (!found->share.waits_turn || found == self))
        found = NULL;
    for (struct clone *e = clone_table_of_group(all, owner); e; e = e->same_group_next)
        if (e->share.waits_turn && e != self &&
            (!found || e->share.created_ms < found->share.created_ms ||
             (e->share.created_ms == found->share.created_ms && strcmp(e->uid, found->uid) < 0)))
            found = e;
    return found;
}

void share_group_wake_waiting(const struct clone_table *all, const struct clone *of,
                              share_group_visit *look, void *arg)
{
    for (struct clone *e = clone_table_beside(all, of); e; e = e->same_source_next)
        if (e != of && e->share.key)
            look(arg, e);
}

/* A VolumeSnapshot changes often. Followers care only when it becomes ready or is deleted. */
void share_group_wake_followers(const struct clone_table *all, const char *uid,
                                const struct kube_object *before, const struct kube_object *after,
                                share_group_visit *look, void *arg)
{
    if (before && after && before->deleted_ms == after->deleted_ms &&
        str_eq(kube_object_field(before, F_READY_TO_USE), kube_object_field(after, F_READY_TO_USE)))
        return;
    for (struct clone *e = clone_table_of_group(all, uid); e; e = e->same_group_next)
        look(arg, e);
}

void share_group_wake_next(const struct clone_table *all, const struct kube_object *before,
                           const struct kube_object *after, share_group_visit *look, void *arg)
{
    const struct clone *owner = clone_table_by_uid(all, (after ? after : before)->label);
    const struct clone *next = owner ? next_turn(all, owner) : NULL;
    bool was = before && str_eq(kube_object_field(before, F_PHASE), "Bound");
    if (next && (!after || (!was && str_eq(kube_object_field(after, F_PHASE), "Bound"))))
        look(arg, next);
}
