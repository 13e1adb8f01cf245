#include "wukong/source/group_choice.h"

#include "base/str.h"

struct choice {
    struct arena *a;
    const struct wukong_source *s;
    const struct class_facts *c;
    const struct disks *disks;
};

static bool is_snapshotted(const struct disk_plan *d)
{
    return disk_takes_snapshot(d->method) && d->driver && d->snapshot_class;
}

/* Why no disk of this clone is cut in a group; NULL: nothing keeps it from that. */
static const char *why_never(const struct choice *q)
{
    if (q->c->groups_refused)
        return arena_printf(q->a, "the VolumeGroupSnapshot of an earlier attempt failed: %.400s",
                            q->c->groups_refused);
    if (q->s->snapshot_class && !q->s->group_class)
        return "the Wukong names a VolumeSnapshotClass";
    if (!q->c->group_api)
        return "the cluster serves no VolumeGroupSnapshots";
    return NULL;
}

/* Why single snapshots are better, by what is known of both classes; NULL: they are not. */
static const char *why_worse(const struct choice *q, const struct disk_plan *d,
                             const struct snapshot_class_facts *k)
{
    const char *name = k->name;
    if (k->barred_by)
        return arena_printf(q->a, "ClonePolicy %s does not allow VolumeGroupSnapshotClass %s",
                            k->barred_by, name);
    if (k->cut.rule > d->cut.rule)
        return arena_printf(
            q->a,
            "a group by VolumeGroupSnapshotClass %s is cut by rule %s, a single snapshot by "
            "rule %s",
            name, cut_rule_names[k->cut.rule], cut_rule_names[d->cut.rule]);
    if (k->cut.slow && !d->cut.slow)
        return arena_printf(q->a,
                            "a group by VolumeGroupSnapshotClass %s takes longer than a guest may "
                            "stay frozen",
                            name);
    if (d->cut.known && !k->cut.known)
        return arena_printf(q->a,
                            "nothing is known of how driver %s cuts groups; the annotation "
                            "%s on VolumeGroupSnapshotClass %s says it",
                            str_or(k->driver, ""), CUT_RULE_ANNOTATION, name);
    return NULL;
}

/* The group's class for all disks of the driver; NULL, with the reason: each is cut by itself. */
static const char *why_single(const struct choice *q, const char *driver, size_t first,
                              struct class_choice *ret)
{
    size_t n = 0;
    const struct disk_plan *items = q->disks->items;
    for (size_t i = first; i < q->disks->count; i++)
        n += is_snapshotted(&items[i]) && str_eq(items[i].driver, driver);
    if (n < 2)
        return arena_printf(q->a, "%s is the only disk of driver %s", items[first].name, driver);
    class_choose_group(q->c, q->s->group_class, items[first].source_class, driver, ret);
    if (ret->verdict != CLASS_CHOSEN)
        return arena_strdup(q->a, ret->text);
    const char *why = NULL;
    for (size_t i = first; i < q->disks->count && !why; i++)
        if (is_snapshotted(&items[i]) && str_eq(items[i].driver, driver))
            why = why_worse(q, &items[i], ret->chosen);
    return why;
}

/* All disks of a driver are cut in the same way. */
static void choose_for_driver(const struct choice *q, size_t first)
{
    struct class_choice choice;
    const char *driver = q->disks->items[first].driver;
    const char *why = why_single(q, driver, first, &choice);
    for (size_t i = first; i < q->disks->count; i++) {
        struct disk_plan *d = &q->disks->items[i];
        if (!is_snapshotted(d) || !str_eq(d->driver, driver))
            continue;
        d->method_why = why;
        if (why)
            continue;
        d->method_why = arena_printf(q->a, "the disks of driver %s are cut at once", driver);
        d->grouped = true;
        d->snapshot_class = choice.chosen->name;
        d->snapshot_class_origin = choice.origin;
        d->snapshot_class_retain = choice.chosen->retain;
        d->cut = choice.chosen->cut;
    }
}

void group_choice_make(struct arena *a, const struct wukong_source *s,
                       const struct wukong_effective *e, const struct class_facts *c,
                       struct disks *disks)
{
    const struct choice q = {a, s, c, disks};
    if (e->method != METHOD_AUTO || !e->needs_snapshot || !c->looked_up)
        return;
    const char *never = why_never(&q);
    for (size_t i = 0; i < disks->count; i++) {
        struct disk_plan *d = &disks->items[i];
        if (!is_snapshotted(d) || d->method_why)
            continue;
        if (never)
            d->method_why = never;
        else
            choose_for_driver(&q, i);
    }
}

bool group_choice_unused(const struct wukong_source *s, const struct wukong_effective *e,
                         const struct disks *disks)
{
    size_t snapshotted = 0;
    if (e->method != METHOD_AUTO || !s->group_class)
        return false;
    for (size_t i = 0; i < disks->count; i++) {
        if (disks->items[i].grouped)
            return false;
        snapshotted += is_snapshotted(&disks->items[i]);
    }
    return snapshotted > 0;
}
