/*
 * The last step before the guest is touched: the source is read live, what cannot be cloned is
 * refused, and everything that is to be made is tried. What the API server's caches do not tell is
 * asked for; while the clone waits for a person, that is asked ever more seldom, and only of what
 * holds the clone up.
 */
#include "steps/steps.h"

#include "actions/create.h"
#include "base/str.h"
#include "observe/capture.h"

/* What is missing in the clone's namespace is looked for this often; no event tells. */
#define NEED_POLL_MS 3000
/* A watch that shows what was read is believed for so long. */
#define READ_TRUST_MS 3600000

/* How old an answer is. While other clones' guests are frozen it does not grow old, but for the
   next few: it is asked again shortly before the turn comes, and not every few seconds until then.
 */
static int64_t age_ms(const struct clone_state *v, const struct call *c)
{
    bool rests = clone_waits_for_turn(v) && v->others.freeze_ahead >= FREEZE_WARM;
    return rests ? 0 : v->now.wall_ms - c->done_ms;
}

/* What was read stands until something is to be made of it, while the caches show the very same:
   what is yet to be tried may wait for its turn among a thousand. */
static bool still_tries(const struct clone_state *v);
static bool is_young(const struct clone_state *v, const struct call *c, int64_t fresh_ms)
{
    int64_t age = age_ms(v, c);
    return age < fresh_ms || (age < READ_TRUST_MS && still_tries(v));
}

/* That a claim is not there is an answer, too: it may be one that nobody wants. */
static bool read_fresh(const struct clone_state *v, const struct capture_read *r)
{
    const struct call *c = call_log_find(v->call_log, r->key);
    bool may_lack = r->kind == KIND_PVC || r->key.kind == CALL_READ_SOURCE_ABSENT;
    bool answered = call_ok(c) || (call_failed(c) && c->code == 404 && may_lack);
    /* What was read while the claims were being exchanged is no reading of the source. */
    if (c && c->done_ms <= v->call_log->held_ms)
        return false;
    /* Who waits for another one's snapshot takes that one's reading, too. */
    bool follows = v->share.role == SHARE_FOLLOW || v->share.role == SHARE_BOUND;
    return answered && is_young(v, c, follows ? DRY_RUN_FRESH_MS : READ_FRESH_MS);
}

static const struct call *dry_call(const struct clone_state *v, enum call_kind kind,
                                   const char *name)
{
    const struct call *c = call_log_find(v->call_log, clone_dry_key(v, kind, name));
    return c && age_ms(v, c) < DRY_RUN_FRESH_MS ? c : NULL;
}

/* REASON_WAITING: no answer to what was asked. */
static enum reason dry_reason(const struct call *c)
{
    if (c->kind == ERR_EXISTS)
        return REASON_NAME_TAKEN;
    if (c->quota)
        return REASON_QUOTA_EXCEEDED;
    return c->kind == ERR_REFUSED || c->kind == ERR_INVALID ? REASON_PREFLIGHT_REFUSED
                                                            : REASON_WAITING;
}

/* One object that is tried beforehand, as a dry run. */
struct trial {
    enum call_kind call;
    size_t disk; /* that of the claim, or of the snapshot */
    const char *kind, *name;
};

/* A snapshot of this attempt that is there already has passed: its name is this attempt's alone,
   and whose it is, is judged when it is seen (steps/snapshot.c). */
static bool trial_passed(const struct trial *t, const struct call *c)
{
    bool made = t->call == CALL_DRY_SNAPSHOT && call_failed(c) && c->kind == ERR_EXISTS;
    return call_ok(c) || made;
}

static enum step_status dry_verdict(const struct trial *t, const struct call *c, struct why *why)
{
    if (trial_passed(t, c))
        return STEP_DONE;
    why_set(why, REASON_WAITING, "the worker is checking %s %s", t->kind, t->name);
    if (!call_had_failed(c))
        return STEP_TODO;
    why_set(why, dry_reason(c), "%s %s: %s", t->kind, t->name, str_or(c->message, "refused"));
    why->again_ms = c->retry_ms;
    return STEP_TODO;
}

/* A machine of a batch that stayed when the others failed is there already. */
static const struct target_state *first_missing(const struct clone_state *v)
{
    for (size_t t = 0; t < v->target_count; t++)
        if (!v->targets[t].ready)
            return &v->targets[t];
    return &v->targets[0];
}

static enum step_status changed_by_admission(const char *what, struct why *why)
{
    why_set(why, REASON_CHANGED_BY_ADMISSION, "%s", what);
    return STEP_FAILED;
}

/* The first disk of each snapshot class: a policy may judge them apart, and a quota counts them. A
   cut that another clone makes is that one's to try. */
static bool tries_snapshot(const struct clone_state *v, size_t disk)
{
    const struct disk_plan *p = v->disks[disk].plan;
    if (clone_uses_vm_snapshot(v) || clone_cut_by_other(v) || !disk_takes_snapshot(p->method))
        return false;
    for (size_t i = 0; i < disk; i++)
        if (disk_takes_snapshot(v->disks[i].plan->method) &&
            str_eq(str_or(v->disks[i].plan->snapshot_class, ""), str_or(p->snapshot_class, "")))
            return false;
    return true;
}

/* The n-th: claims, the machine, snapshots. False past the last. Only the first target is tried:
   the others differ from it in names alone, and those are looked up in the caches
   (clone_name_taken). */
static bool trial_at(const struct clone_state *v, size_t n, struct trial *ret)
{
    const struct target_state *t = first_missing(v);
    *ret = (struct trial){CALL_DRY_CLAIM, n, "PersistentVolumeClaim", NULL};
    if (n < v->disk_count) {
        ret->name = t->claims[n].name;
        return true;
    }
    if (n == v->disk_count) {
        *ret = (struct trial){CALL_DRY_VM, n, "VirtualMachine", t->vm.name};
        return true;
    }
    n -= v->disk_count + 1;
    for (size_t i = 0; i < v->disk_count; i++) {
        if (!tries_snapshot(v, i) || n--)
            continue;
        const struct clone_group *g = v->disks[i].group;
        *ret = (struct trial){CALL_DRY_SNAPSHOT, i, g ? "VolumeGroupSnapshot" : "VolumeSnapshot",
                              g ? g->name : v->disks[i].snapshot.name};
        return true;
    }
    return false;
}

static bool still_tries(const struct clone_state *v)
{
    struct trial t;
    if (!v->capture.present || !v->capture.current || v->capture.refusal)
        return false;
    for (size_t n = 0; trial_at(v, n, &t); n++)
        if (!trial_passed(&t, dry_call(v, t.call, t.name)))
            return true;
    return false;
}

static void try_once(const struct clone_state *v, struct decision *d, const struct trial *t)
{
    if (t->call == CALL_DRY_CLAIM)
        create_dry_run_claim(v, d, first_missing(v), t->disk);
    else if (t->call == CALL_DRY_VM)
        create_dry_run_vm(v, d, first_missing(v));
    else if (v->disks[t->disk].group)
        create_dry_run_group(v, d, v->disks[t->disk].group);
    else
        create_dry_run_snapshot(v, d, t->disk);
}

/* What was stored of a trial is what was asked for. */
static const char *trial_changed(const struct clone_state *v, const struct trial *t,
                                 struct why *why)
{
    const struct target_state *target = first_missing(v);
    if (t->call == CALL_DRY_VM)
        return create_vm_changed(v, target,
                                 call_log_find(v->call_log, clone_dry_key(v, t->call, t->name)));
    if (t->call != CALL_DRY_CLAIM)
        return NULL;
    const char *changed = create_dry_claim_changed(v, target, t->disk);
    if (changed)
        why->disk = v->disks[t->disk].plan->name;
    return changed;
}

/* By snapshotMethod Auto a group that may not be made gives way to single snapshots. */
static const struct call *group_trial_refused(const struct clone_state *v)
{
    struct trial t;
    for (size_t n = 0; clone_may_leave_groups(v) && trial_at(v, n, &t); n++) {
        const struct call *c = t.call == CALL_DRY_SNAPSHOT && v->disks[t.disk].group
                                   ? dry_call(v, t.call, t.name)
                                   : NULL;
        if (c && !trial_passed(&t, c) && call_had_failed(c) && dry_reason(c) != REASON_NAME_TAKEN &&
            (dry_reason(c) != REASON_WAITING || group_is_unserved(c)))
            return c;
    }
    return NULL;
}

static enum step_status dry_runs(const struct clone_state *v, struct why *why)
{
    struct trial t;
    for (size_t n = 0; trial_at(v, n, &t); n++) {
        enum step_status o = dry_verdict(&t, dry_call(v, t.call, t.name), why);
        if (o != STEP_DONE)
            return o;
        const char *changed = trial_changed(v, &t, why);
        if (changed)
            return changed_by_admission(changed, why);
    }
    return STEP_DONE;
}

enum found { FOUND_UNKNOWN, FOUND_THERE, FOUND_MISSING, FOUND_HIDDEN };

/* Said by the last answer, though it may be asked for again right now. */
static bool need_missing(const struct needed_object *n, const struct call *c)
{
    if (!n->probe)
        return call_was_absent(c);
    bool answered = call_ok(c) || (c && c->state == CALL_FLYING && !c->failures && c->code);
    return answered && c->code != 409;
}

/* A probe that is refused for another reason than the name, by a quota or by somebody's policy,
   tells nothing, today and tomorrow: the Event with what the machine needs names it. So does a
   network of a namespace that this worker does not serve. */
static enum found find_need(const struct clone_state *v, const struct needed_object *n)
{
    const struct call *c = call_log_find(v->call_log, n->key);
    if (call_failed(c) && (c->kind == ERR_REFUSED || (n->probe && c->kind == ERR_NOT_FOUND)))
        return FOUND_HIDDEN;
    if (need_missing(n, c))
        return FOUND_MISSING;
    return call_ok(c) && is_young(v, c, READ_FRESH_MS) ? FOUND_THERE : FOUND_UNKNOWN;
}

static void tell_missing(const struct needed_object *n, struct why *why)
{
    why_set(why, REASON_DEPENDENCY_MISSING, "%s %s%s%s, which the machine names, does not exist",
            n->kind->kind, str_or(n->ns, ""), n->ns ? "/" : "", n->name);
}

/* What the machine names is there, too. */
static enum step_status check_dependencies(const struct clone_state *v, struct why *why)
{
    size_t n = 0;
    const struct needed_object *needs = needed_objects(v, &n);
    for (size_t i = 0; i < n; i++) {
        const struct call *c = call_log_find(v->call_log, needs[i].key);
        enum found found = find_need(v, &needs[i]);
        if (found == FOUND_THERE || found == FOUND_HIDDEN)
            continue;
        why_set(why, REASON_WAITING, "the worker is looking for %s %s", needs[i].kind->kind,
                needs[i].name);
        why->again_ms = v->now.wall_ms + NEED_POLL_MS;
        if (found == FOUND_MISSING) {
            tell_missing(&needs[i], why);
            return STEP_TODO;
        }
        if (call_failed(c))
            why_set(why, REASON_WAITING, "the worker is looking for %s %s: %s", needs[i].kind->kind,
                    needs[i].name, str_or(c->message, "no answer"));
        return STEP_TODO;
    }
    return STEP_DONE;
}

static void ask_for(struct decision *d, const struct needed_object *n)
{
    struct intent *i = intents_add(&d->intents, n->probe ? INTENT_PROBE : INTENT_READ, n->kind,
                                   n->ns, n->name, n->key);
    i->body = n->probe;
    i->shared = !n->probe;
}

/* --- what holds a clone up --- */

/* How much longer an answer stands for a clone that waits for a person: as long as it had waited by
   then, or, where something tells that it may be another by now, as long as it is fresh. */
static int64_t stands_ms(const struct clone_state *v, const struct call *c)
{
    bool moved = c->sent_mono_ms < v->call_log->moved_mono_ms;
    if (c->done_ms <= v->call_log->held_ms)
        return 0;
    return c->done_mono_ms + (moved ? READ_FRESH_MS : clone_wait_at(v, c->done_ms)) -
           v->now.mono_ms;
}

/* The same of all that was read of the source, while the caches show the very same; else it stands
   as long as it is fresh. 0: some of it was not read. */
static int64_t reading_stands_ms(const struct clone_state *v)
{
    size_t n = 0;
    int64_t least = INT64_MAX;
    const struct capture_read *reads = capture_reads(v, &n);
    for (size_t i = 0; i < n; i++) {
        const struct call *c = call_log_find(v->call_log, reads[i].key);
        if (!call_ok(c) && !(call_failed(c) && c->code == 404))
            return 0;
        int64_t stands = c->done_mono_ms - v->now.mono_ms;
        stands += v->capture.current ? READ_TRUST_MS : READ_FRESH_MS;
        if (c->done_ms <= v->call_log->held_ms)
            stands = 0;
        least = stands < least ? stands : least;
    }
    return n ? least : 0;
}

/* True: what was read of the source, and what the caches say, hold it up; why says so. */
static bool held_by_source(const struct clone_state *v, struct why *why)
{
    const char *kind;
    if (v->capture.refusal && reason_table[v->capture.refusal].kind != REASON_TERMINAL) {
        why_set(why, v->capture.refusal, "%s", v->capture.api_error_text);
        return true;
    }
    if (!v->capture.present)
        return false;
    const char *taken = clone_name_taken(v, &kind);
    if (taken)
        why_set(why, REASON_NAME_TAKEN, "%s %s exists and is not this clone's", kind, taken);
    return taken || check_cut_fits(v, why) != STEP_DONE;
}

/* What the API server has refused or not found, and nobody has mended as far as is known. */
struct refused {
    const struct call *call; /* NULL: nothing */
    const struct needed_object *need;
    struct trial trial; /* where it was no need */
};

static struct refused find_refused(const struct clone_state *v)
{
    struct refused r = {0};
    size_t n = 0;
    const struct needed_object *needs = needed_objects(v, &n);
    for (size_t i = 0; i < n; i++) {
        r.call = call_log_find(v->call_log, needs[i].key);
        r.need = &needs[i];
        if (need_missing(r.need, r.call))
            return r;
    }
    r.need = NULL;
    for (size_t i = 0; trial_at(v, i, &r.trial); i++) {
        r.call = call_log_find(v->call_log, clone_dry_key(v, r.trial.call, r.trial.name));
        if (!trial_passed(&r.trial, r.call) && call_had_failed(r.call) &&
            dry_reason(r.call) != REASON_WAITING)
            return r;
    }
    return (struct refused){0};
}

static void tell_refused(const struct refused *r, struct why *why)
{
    if (r->need)
        tell_missing(r->need, why);
    else
        (void)dry_verdict(&r->trial, r->call, why);
}

/* STEP_WAIT: it waits as it did. STEP_TODO: what has held it up is asked for once more, and that
   alone. STEP_DONE: nothing is known to hold it up, or all must be read anew to know; why is what
   was told until then. */
static enum step_status still_held(const struct clone_state *v, struct why *why, struct decision *d)
{
    int64_t stands = reading_stands_ms(v);
    if (held_by_source(v, why)) {
        int64_t wait = clone_wait_ms(v);
        why->again_ms = stands > 0 ? v->now.wall_ms + (stands < wait ? stands : wait) : 0;
        return stands > 0 ? STEP_WAIT : STEP_DONE;
    }
    const struct refused r = v->capture.present ? find_refused(v) : (struct refused){0};
    if (!r.call)
        return STEP_DONE;
    tell_refused(&r, why);
    stands = stands_ms(v, r.call);
    why->again_ms = stands > 0 ? v->now.wall_ms + stands : r.call->retry_ms;
    if (r.call->state == CALL_FLYING)
        why->again_ms = 0;
    if (stands > 0)
        return STEP_WAIT;
    /* Another source, other claims: what was tried is not what would be made. */
    if (r.call->sent_mono_ms < v->call_log->moved_mono_ms) {
        why->again_ms = 0;
        return STEP_DONE;
    }
    if (d && r.need)
        ask_for(d, r.need);
    else if (d)
        try_once(v, d, &r.trial);
    return STEP_TODO;
}

/* --- the step --- */

/* While nothing more of the source is read, and nothing made of it, the last answer will do. */
static enum step_status check_right(const struct clone_state *v, struct why *why)
{
    return still_tries(v) ? STEP_DONE : check_access(v, ACCESS_CLONE, why);
}

enum step_status step_preflight_check(const struct clone_state *v, struct why *why)
{
    /* A restarted worker reads back from the first snapshot what the others are to be made of. */
    if (clone_past_cut(v) || (v->capture.sealed && v->capture.present))
        return STEP_DONE;
    if (record_owes_thaw(&v->record) && v->capture.present)
        return STEP_DONE;
    if (group_trial_refused(v)) {
        why_set(why, REASON_WAITING, "no VolumeGroupSnapshot may be made, so single ones are");
        return STEP_TODO;
    }
    enum step_status held = still_held(v, why, NULL);
    if (held != STEP_DONE)
        return held;
    enum step_status access = check_right(v, why);
    if (access != STEP_DONE)
        return access;
    bool told = why->reason != REASON_NONE;
    if (!told)
        why_set(why, REASON_WAITING, "the worker is reading the source");
    size_t n = 0;
    const struct capture_read *reads = capture_reads(v, &n);
    for (size_t i = 0; i < n; i++) {
        const struct call *c = call_log_find(v->call_log, reads[i].key);
        if (call_unreadable(c))
            why_set(why, REASON_OBJECT_UNREADABLE, "%s", c->message);
        else if (call_failed(c) && !told)
            why_set(why, REASON_WAITING, "the worker is reading the source: %s",
                    str_or(c->message, "failed"));
        if (!read_fresh(v, &reads[i]))
            return STEP_TODO;
    }
    struct call_key absent = call_key_named(CALL_READ_SOURCE_ABSENT, v->source.vm_name);
    if (!v->source.vmi_exists && call_read_running_vmi(call_log_find(v->call_log, absent))) {
        why_set(why, REASON_SOURCE_BUSY, "the source %s/%s is running already",
                v->effective.source_ns, v->effective.source_name);
        why->again_ms = v->now.wall_ms + 1000;
        return STEP_WAIT;
    }
    if (held_by_source(v, why)) {
        why->again_ms = v->now.wall_ms + WAIT_POLL_MS;
        return STEP_WAIT;
    }
    if (v->capture.refusal) {
        why_set(why, v->capture.refusal, "%s", v->capture.api_error_text);
        return STEP_FAILED;
    }
    if (!v->capture.present)
        return STEP_TODO;
    enum step_status needed = check_dependencies(v, why);
    return needed == STEP_DONE ? dry_runs(v, why) : needed;
}

void step_preflight_run(const struct clone_state *v, struct decision *d)
{
    size_t n = 0;
    struct why why = {0};
    const struct call *refused = group_trial_refused(v);
    if (refused) {
        group_leave(v, d, str_or(refused->message, "refused"), 0);
        d->persist_first = true;
        return;
    }
    if (still_held(v, &why, d) == STEP_TODO)
        return;
    if (check_right(v, &why) != STEP_DONE) {
        access_ask(v, ACCESS_CLONE, d);
        return;
    }
    const struct capture_read *reads = capture_reads(v, &n);
    for (size_t i = 0; i < n; i++) {
        if (read_fresh(v, &reads[i]))
            continue;
        struct intent *read =
            intents_add(&d->intents, reads[i].body ? INTENT_EXPAND : INTENT_READ,
                        &worker_kinds[reads[i].kind], reads[i].ns, reads[i].name, reads[i].key);
        read->body = reads[i].body;
        read->shared = !v->snapshot_carrier;
    }
    if (!v->capture.present || v->capture.refusal || held_by_source(v, &why))
        return;
    const struct needed_object *needs = needed_objects(v, &n);
    for (size_t i = 0; i < n; i++) {
        const struct call *c = call_log_find(v->call_log, needs[i].key);
        if (!c || v->now.wall_ms >= c->done_ms + NEED_POLL_MS)
            ask_for(d, &needs[i]);
    }
    struct trial t;
    for (size_t i = 0; trial_at(v, i, &t); i++)
        if (!trial_passed(&t, dry_call(v, t.call, t.name)))
            try_once(v, d, &t);
}
