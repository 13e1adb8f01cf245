#include "wukong/source/cut.h"

#include "base/str.h"

static void explain(struct cut_foreseen *f, const char *because, const char *remedy)
{
    f->because = because;
    f->remedy = remedy;
}

/* KubeVirt thaws when the driver has answered, and takes one VolumeSnapshot after the other: what
   is cut later is of moments of its own. */
static void by_kubevirt(struct cut_foreseen *f, bool agent, bool paused, bool late, size_t count)
{
    f->best = cut_consistency(CUT_RUNNING, agent && !paused && !late, count);
    if (late)
        explain(f, "KubeVirt thaws the guest before the driver has cut its snapshots",
                "use snapshotMethod VolumeSnapshot");
    else if (paused)
        explain(f, "the source is paused", "unpause it");
    else if (!agent)
        explain(f, "the source's guest agent is not connected",
                "start it, or use snapshotMethod VolumeSnapshot with quiesce Required, which waits "
                "for it");
}

static bool same_moment(const struct disk_plan *a, const struct disk_plan *b)
{
    return a->grouped && b->grouped && a->cut.ordered && b->cut.ordered &&
           str_eq(a->driver, b->driver);
}

size_t cut_moments(const struct disk_plan *const *plans, size_t count)
{
    size_t moments = 0;
    for (size_t i = 0; i < count; i++) {
        size_t before = 0;
        while (before < i && !same_moment(plans[before], plans[i]))
            before++;
        moments += before == i;
    }
    return moments;
}

struct cut_foreseen cut_foresee(const struct wukong_effective *e, bool runs, bool agent,
                                bool paused, const struct disks *disks)
{
    struct cut_foreseen f = {.known = true};
    const struct disk_plan *plans[LIMIT_DISKS] = {0};
    size_t count = disks ? disks->count : 0, planned = 0;
    for (size_t i = 0; i < count && planned < LIMIT_DISKS; i++)
        plans[planned++] = &disks->items[i];
    size_t moments = cut_moments(plans, planned);
    bool slow = false, late = false;
    for (size_t i = 0; i < count; i++) {
        const struct disk_plan *d = &disks->items[i];
        slow |= disk_takes_snapshot(d->method) && d->cut.slow;
        late |= disk_takes_snapshot(d->method) && d->cut.rule == CUT_RULE_READY;
    }
    f.mode = cut_wanted(e, runs, agent, paused, slow);
    f.best = cut_consistency(f.mode, f.mode == CUT_FROZEN, moments);
    if (f.mode != CUT_RUNNING)
        return f;
    if (e->method == METHOD_VM_SNAPSHOT)
        by_kubevirt(&f, agent, paused, late, moments);
    else if (e->quiesce == QUIESCE_REQUIRED)
        f.best = CONSISTENCY_FILESYSTEM;
    else if (e->quiesce == QUIESCE_NEVER)
        explain(&f, "quiesce is Never", "set quiesce to Required");
    else if (paused)
        explain(&f, "the source is paused",
                "unpause it, or set quiesce to Required, which waits for that");
    else if (!agent)
        explain(&f, "the source's guest agent is not connected",
                "start it, or set quiesce to Required, which waits for it");
    else
        explain(&f, "a snapshot of it takes longer than a guest may stay frozen",
                "use another VolumeSnapshotClass, or clone the stopped source");
    return f;
}

/* Of a source that nobody has found: by the spec alone. */
static struct cut_foreseen unseen(const struct wukong_effective *e)
{
    struct cut_foreseen f = {0};
    if (e->clone_type == CLONE_FULL ||
        (e->clone_type == CLONE_RUNNING && e->quiesce == QUIESCE_NEVER))
        f = cut_foresee(e, true, true, false, NULL);
    f.known = false;
    return f;
}

struct cut_foreseen cut_foresee_source(const struct wukong_effective *e,
                                       const struct source_facts *s, const struct disks *disks)
{
    if (!s || !s->looked_up || !facts_source_exists(s))
        return unseen(e);
    bool runs = s->machine.vmi_exists;
    bool starts = !runs && e->source_type == SOURCE_VM && e->clone_type == CLONE_RUNNING;
    struct cut_foreseen f =
        cut_foresee(e, runs || starts, s->machine.agent || starts, s->machine.paused, disks);
    f.starts_source = starts;
    return f;
}
