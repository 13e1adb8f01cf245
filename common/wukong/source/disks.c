#include "wukong/source/disks.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "wukong/api/child_names.h"
#include "wukong/rules/rules.h"
#include "wukong/source/group_choice.h"

const char *const disk_method_names[] = {
    "", "SnapshotRestore", "CDIClone", "CDISnapshot", "CSIClone", "SnapshotHandleCopy",
};
static_assert(ARRAY_LEN(disk_method_names) == DISK_METHODS, "one name each");

/* What disks_resolve works on. */
struct resolver {
    struct arena *a;
    const struct wukong *w;
    const struct wukong_effective *e;
    const struct source_facts *s;
    const struct class_facts *c;
    struct findings *l;
    struct disks *ret;
    bool lasting; /* see claims_will_wait */
};

/* Where a finding about the disk is reported: its entry, or the source when there is none. */
static void write_place(const struct disk_plan *d, const char *member, char out[64])
{
    if (d->spec_index == SIZE_MAX)
        snprintf(out, 64, "spec.cloneSource");
    else
        snprintf(out, 64, "spec.disks[%zu]%s", d->spec_index, member);
}

/* --- Selection --- */

static bool other_boot_disk(const struct wukong_spec *spec)
{
    for (size_t i = 0; i < spec->disk_count; i++)
        if (spec->disks[i].boot == TRI_TRUE)
            return true;
    return false;
}

static void leave_out(struct resolver *r, const struct volume_facts *v, enum left_out_why why,
                      const char *reason)
{
    r->ret->left_out[r->ret->left_out_count++] =
        (struct disk_left_out){v->name, v->claim, reason, why};
    findings_add(r->l, rule_find("disk-left-out"), "spec.disks", NULL, "\"%.63s\": %.80s", v->name,
                 reason);
    if (v->boot && !other_boot_disk(&r->w->spec))
        findings_add(r->l, rule_find("disk-boot-left-out"), "spec.disks", NULL, "\"%.63s\"",
                     v->name);
}

static void report_missing(struct resolver *r, size_t index, const char *volume)
{
    char path[64], list[160] = "";
    const char *names[LIMIT_VOLUMES];
    size_t count = 0, len = 0;
    const struct wukong_disk *d = &r->w->spec.disks[index];
    for (size_t i = 0; i < r->s->volume_count; i++) {
        const struct volume_facts *v = &r->s->volumes[i];
        if (!v->claim)
            continue;
        if (len < sizeof(list))
            len += (size_t)snprintf(list + len, sizeof(list) - len, "%s\"%s\"", count ? ", " : "",
                                    v->name);
        names[count++] = v->name;
    }
    const char *near = findings_suggest(volume, names, count);
    CLEANUP_FREE char *value = xasprintf("\"%s\"", volume);
    snprintf(path, sizeof(path), "spec.disks[%zu].%s", index,
             d->source_disk ? "sourceDisk" : "name");
    findings_add(r->l, rule_find("disk-missing"), path, value, "it has %s%s%s%s%s",
                 count ? list : "no disk at all", near ? " (did you mean \"" : "", near ? near : "",
                 near ? "\"?)" : "", "");
}

/* The disk that the spec's entry wants; false when there is none (reported). */
static bool select_listed(struct resolver *r, size_t index, struct disk_plan *ret)
{
    const struct wukong_disk *d = &r->w->spec.disks[index];
    const char *volume = d->source_disk ? d->source_disk : d->name;
    if (str_empty(volume) || str_empty(d->name))
        return false;
    const struct volume_facts *v = facts_volume(r->s, volume);
    if (!v) {
        report_missing(r, index, volume);
        return false;
    }
    char path[64];
    snprintf(path, sizeof(path), "spec.disks[%zu].%s", index,
             d->source_disk ? "sourceDisk" : "name");
    if (!v->claim) {
        CLEANUP_FREE char *value = xasprintf("\"%s\"", volume);
        findings_add(r->l, rule_find("disk-no-data"), path, value, "it is a %.40s",
                     *v->type->member ? v->type->member : "volume of another kind");
        return false;
    }
    *ret = (struct disk_plan){
        .name = d->name,
        .volume = v->name,
        .claim = v->claim,
        .spec_index = index,
        .bytes = d->size_bytes,
        .storage_class = d->storage_class,
        .boot = d->boot == TRI_UNSET ? v->boot : d->boot == TRI_TRUE,
    };
    return true;
}

static bool is_listed(const struct wukong_spec *spec, const char *volume)
{
    for (size_t i = 0; i < spec->disk_count; i++) {
        const struct wukong_disk *d = &spec->disks[i];
        if (str_eq(d->source_disk ? d->source_disk : d->name, volume))
            return true;
    }
    return false;
}

/* --- One disk --- */

static void check_claim(struct resolver *r, struct disk_plan *d, const struct claim_facts *claim)
{
    char path[64];
    write_place(d, "", path);
    if (!claim || !claim->looked_up)
        return;
    if (!claim->exists) {
        findings_add(r->l, rule_find("disk-claim-missing"), path, NULL, "\"%.63s\"", d->claim);
        return;
    }
    if (claim->deleting)
        findings_add(r->l, rule_find("disk-claim-deleting"), path, NULL, "\"%.63s\"", d->claim);
    else if (!claim->bound)
        findings_add(r->l, rule_find("disk-claim-unbound"), path, NULL, "\"%.63s\"", d->claim);
    d->source_bytes = claim->bytes;
    d->source_class = claim->storage_class;
    d->volume_mode = claim->volume_mode;
    d->access_modes = claim->access_modes;
    d->driver = facts_claim_driver(r->c, claim);
}

static void check_size(struct resolver *r, struct disk_plan *d)
{
    char path[64], have[QUANTITY_PRINT_MAX];
    const struct storage_class_facts *sc = facts_storage_class(r->c, d->storage_class);
    write_place(d, ".size", path);
    if (!d->bytes)
        d->bytes = d->source_bytes;
    if (!d->source_bytes || d->bytes == d->source_bytes || d->spec_index == SIZE_MAX)
        return;
    CLEANUP_FREE char *value =
        xasprintf("\"%s\"", str_or(r->w->spec.disks[d->spec_index].size, ""));
    quantity_print(d->source_bytes, have);
    if (d->bytes < d->source_bytes)
        findings_add(r->l, rule_find("disk-shrink"), path, value, "the source's disk has %s", have);
    else if (sc && !sc->expansion)
        findings_add(r->l, rule_find("disk-expansion"), path, value,
                     "\"%.63s\", and the source's disk has %s", sc->name, have);
}

static void check_class(struct resolver *r, struct disk_plan *d)
{
    char path[64];
    bool asked = d->storage_class != NULL;
    if (!asked)
        d->storage_class = d->source_class;
    if (!asked || !r->c->looked_up || facts_storage_class(r->c, d->storage_class))
        return;
    const char *names[LIMIT_CLASSES];
    size_t count = 0;
    for (size_t i = 0; i < r->c->storage_class_count && count < LIMIT_CLASSES; i++)
        names[count++] = r->c->storage_classes[i].name;
    const char *near = findings_suggest(d->storage_class, names, count);
    CLEANUP_FREE char *value = xasprintf("\"%s\"", d->storage_class);
    write_place(d, ".storageClassName", path);
    if (near)
        findings_add(r->l, rule_find("disk-class-missing"), path, value, "did you mean \"%.63s\"?",
                     near);
    else
        findings_add(r->l, rule_find("disk-class-missing"), path, value, NULL);
}

/* Chooses the snapshot class; false when the disk cannot be snapshotted, with *why. */
static bool snapshot_class(struct resolver *r, struct disk_plan *d, struct class_choice *choice)
{
    const struct wukong_source *s = &r->w->spec.source;
    d->grouped = r->e->needs_snapshot && r->e->method == METHOD_GROUP_SNAPSHOT;
    if (d->grouped)
        class_choose_group(r->c, s->group_class, d->source_class, d->driver, choice);
    else
        class_choose(r->c, s->snapshot_class, d->source_class, d->driver, choice);
    if (choice->verdict != CLASS_CHOSEN)
        return false;
    d->snapshot_class = choice->chosen->name;
    d->snapshot_class_origin = choice->origin;
    d->snapshot_class_retain = choice->chosen->retain;
    d->cut = choice->chosen->cut;
    return true;
}

/* KubeVirt takes the class of the StorageProfile or the driver's default, as we do; of several
   without a default it may be any (pkg/storage/snapshot/snapshot.go getVolumeSnapshotClassName). */
static struct cut_verdict kubevirts_cut(const struct resolver *r, const struct disk_plan *d)
{
    struct class_choice choice;
    struct cut_verdict worst = {.rule = CUT_RULE_CREATED, .known = true};
    class_choose(r->c, NULL, d->source_class, d->driver, &choice);
    if (choice.verdict == CLASS_CHOSEN)
        return choice.chosen->cut;
    for (size_t i = 0; i < r->c->snapshot_class_count; i++) {
        const struct snapshot_class_facts *k = &r->c->snapshot_classes[i];
        if (k->group || !str_eq(k->driver, d->driver) || k->cut.rule < worst.rule)
            continue;
        bool known = worst.known && k->cut.known;
        worst = k->cut;
        worst.known = known;
    }
    return worst;
}

/* KubeVirt's own word on the volume counts unless the user named a class that fits. */
static bool kubevirt_refuses(const struct resolver *r, const struct volume_facts *v,
                             const struct disk_plan *d)
{
    /* Of an ephemeral volume it only says that its own snapshots leave it out (pkg/storage/types
       PVCNameFromVirtVolume knows no such claim); ours are taken of the claim below. */
    if (v->type->overlay)
        return r->e->method == METHOD_VM_SNAPSHOT;
    const struct wukong_source *s = &r->w->spec.source;
    const char *named = d->grouped ? s->group_class : s->snapshot_class;
    return v->snapshottable == TRI_FALSE && !(named && d->snapshot_class);
}

enum keep { KEEP, LEAVE_OUT, REFUSED };

/* For a clone that needs a snapshot of this disk. */
static enum keep check_snapshot(struct resolver *r, struct disk_plan *d,
                                const struct volume_facts *v)
{
    struct class_choice choice = {0};
    char path[64];
    const struct claim_facts *claim = facts_claim(r->s, d->claim);
    bool by_kubevirt = r->e->method == METHOD_VM_SNAPSHOT;
    bool known = r->c->looked_up && claim && claim->looked_up && claim->exists && !by_kubevirt;
    bool chosen = known && snapshot_class(r, d, &choice);
    bool refused = kubevirt_refuses(r, v, d);
    if ((chosen || !known) && !refused)
        return KEEP;
    bool hopeless = refused || choice.verdict == CLASS_NONE || choice.verdict == CLASS_NOT_CSI ||
                    choice.verdict == CLASS_NO_DRIVER || choice.verdict == CLASS_REFUSED;
    if (hopeless && r->e->allow_unsnapshottable)
        return LEAVE_OUT;
    if (known && !chosen) {
        const struct wukong_source *s = &r->w->spec.source;
        const char *rule = d->grouped ? "group-class" : "snapshot-class";
        findings_add(r->l, rule_find(choice.verdict == CLASS_REFUSED ? "cut-refused" : rule),
                     d->grouped ? "spec.cloneSource.volumeGroupSnapshotClassName"
                                : "spec.cloneSource.volumeSnapshotClassName",
                     str_or(d->grouped ? s->group_class : s->snapshot_class, "unset"),
                     "disk \"%.63s\" (PVC %.63s): %s", d->volume, d->claim, choice.text);
    } else {
        CLEANUP_FREE char *value = xasprintf("\"%s\"", d->volume);
        write_place(d, ".name", path);
        findings_add(r->l, rule_find("disk-unsnapshottable"), path, value, "%.200s",
                     str_or(v->snapshot_reason, "KubeVirt reports so"));
    }
    return REFUSED;
}

/* --- Method --- */

static const char *target_driver(const struct resolver *r, const struct disk_plan *d)
{
    const struct storage_class_facts *sc = facts_storage_class(r->c, d->storage_class);
    if (sc)
        return sc->provisioner;
    return str_eq(d->storage_class, d->source_class) ? d->driver : NULL;
}

static enum disk_method method_by_snapshot(const struct resolver *r, bool same_driver)
{
    if (same_driver && !r->e->cross_namespace)
        return DISK_RESTORE;
    if (r->c->cdi)
        return DISK_CDI_SNAPSHOT;
    return same_driver ? DISK_HANDLE_COPY : DISK_METHOD_NONE;
}

static enum disk_method snapshot_method(const struct resolver *r, bool same_driver)
{
    if (r->e->clone_type == CLONE_LINKED) {
        if (!same_driver)
            return DISK_METHOD_NONE;
        return r->e->cross_namespace ? DISK_HANDLE_COPY : DISK_RESTORE;
    }
    return method_by_snapshot(r, same_driver);
}

static bool waits_for_consumer(const struct resolver *r, const struct disk_plan *d)
{
    const struct storage_class_facts *sc = facts_storage_class(r->c, d->storage_class);
    return sc && sc->wait_for_first_consumer;
}

/*
 * A full clone that is not to be started, with a disk whose class waits for its first consumer:
 * that disk is filled when somebody starts the machine, days from now. What it hangs on until then
 * must be a fixed point in time, never the live claim of a source that goes on, or is deleted. For
 * all disks then, so that they are of one moment.
 */
static bool claims_will_wait(const struct resolver *r)
{
    if (r->e->clone_type != CLONE_FULL || r->e->auto_start)
        return false;
    for (size_t i = 0; i < r->ret->count; i++)
        if (waits_for_consumer(r, &r->ret->items[i]))
            return true;
    return false;
}

static enum disk_method full_method(struct resolver *r, struct disk_plan *d, bool same_driver)
{
    struct class_choice choice;
    if (r->lasting) {
        enum disk_method method = method_by_snapshot(r, same_driver);
        if (method != DISK_METHOD_NONE && snapshot_class(r, d, &choice))
            return method;
        /* CDI binds the claim at once (manifests/claim.c); a driver alone cannot. */
        if (!r->c->cdi && waits_for_consumer(r, d))
            return DISK_METHOD_NONE;
    }
    if (r->c->cdi)
        return DISK_CDI_CLONE;
    if (!same_driver)
        return DISK_METHOD_NONE;
    bool csi = !r->c->drivers_known || facts_has_driver(r->c, d->driver);
    bool clones = csi && !r->e->cross_namespace;
    /* Whether a driver clones volumes nothing tells but its refusal. */
    if (clones && !r->c->cloning_refused)
        return DISK_CSI_CLONE;
    if (!snapshot_class(r, d, &choice))
        return clones ? DISK_CSI_CLONE : DISK_METHOD_NONE;
    return r->e->cross_namespace ? DISK_HANDLE_COPY : DISK_RESTORE;
}

static void choose_method(struct resolver *r, struct disk_plan *d)
{
    char path[64];
    const char *target = target_driver(r, d);
    if (!r->c->looked_up || !d->driver || !target)
        return;
    bool same = str_eq(d->driver, target);
    bool full = r->e->clone_type == CLONE_FULL;
    d->method = full ? full_method(r, d, same) : snapshot_method(r, same);
    if (d->method != DISK_METHOD_NONE)
        return;
    CLEANUP_FREE char *value = xasprintf("\"%s\"", str_or(d->storage_class, ""));
    if (!same) {
        write_place(d, ".storageClassName", path);
        findings_add(r->l, rule_find("disk-driver"), path, value,
                     "\"%.63s\" is of driver %.63s and the source's disk of %.63s%s",
                     d->storage_class, target, d->driver,
                     r->e->clone_type == CLONE_LINKED ? ""
                                                      : ", and CDI, which could copy it, is not "
                                                        "installed");
    } else if (r->lasting && waits_for_consumer(r, d)) {
        struct class_choice choice = {0};
        (void)snapshot_class(r, d, &choice);
        write_place(d, ".storageClassName", path);
        findings_add(r->l, rule_find("disk-waits"), path, value,
                     "disk \"%.63s\" of driver %.63s: %s", d->volume, d->driver, choice.text);
    } else {
        write_place(d, "", path);
        findings_add(r->l, rule_find("disk-method"), path, value, "disk \"%.63s\" of driver %.63s",
                     d->volume, d->driver);
    }
}

/* --- The cut --- */

/* What stands between a running source and a snapshot that is cut as it should be. */
static void check_cut(struct resolver *r, struct disk_plan *d)
{
    const struct wukong_effective *e = r->e;
    bool by_kubevirt = e->method == METHOD_VM_SNAPSHOT;
    const char *field = "spec.cloneSource.quiesce";
    const char *class = str_or(d->snapshot_class, "its class");
    if (by_kubevirt && d->driver)
        d->cut = kubevirts_cut(r, d);
    if (by_kubevirt && d->cut.rule == CUT_RULE_REFUSE)
        findings_add(r->l, rule_find("cut-refused"), "spec.cloneSource.snapshotMethod", NULL,
                     "disk \"%.63s\" (PVC %.63s): driver %.63s: %.200s", d->volume, d->claim,
                     str_or(d->driver, ""), str_or(d->cut.why, "its snapshots are refused"));
    bool runs = machine_has_instance(&r->s->machine) || e->clone_type == CLONE_RUNNING;
    if (e->clone_type == CLONE_FULL || !runs)
        return;
    if (d->cut.slow && e->quiesce == QUIESCE_REQUIRED)
        findings_add(r->l, rule_find("cut-slow"), field, quiesce_names[e->quiesce],
                     "\"%.40s\" by class %.40s", d->volume, class);
    if (d->cut.rule == CUT_RULE_WHILE_FROZEN &&
        (e->quiesce == QUIESCE_NEVER || d->cut.slow || !r->s->machine.agent))
        findings_add(r->l, rule_find("cut-unfrozen"), field, quiesce_names[e->quiesce],
                     "\"%.40s\" by class %.40s", d->volume, class);
}

/* --- All together --- */

static void resolve_disk(struct resolver *r, struct disk_plan d)
{
    const struct volume_facts *v = facts_volume(r->s, d.volume);
    assert(v);
    char path[64];
    write_place(&d, "", path);
    d.shared = v->shared;
    if (d.shared)
        findings_add(r->l, rule_find("disk-shared"), path, NULL, "\"%.63s\"", d.volume);
    check_claim(r, &d, facts_claim(r->s, d.claim));
    check_class(r, &d);
    check_size(r, &d);
    if (r->e->needs_snapshot) {
        enum keep keep = check_snapshot(r, &d, v);
        if (keep == LEAVE_OUT) {
            leave_out(r, v, LEFT_UNSNAPSHOTTABLE,
                      str_or(v->snapshot_reason, "it cannot be snapshotted"));
            return;
        }
        if (keep == REFUSED)
            d.snapshot_class = NULL;
    }
    r->ret->items[r->ret->count++] = d;
}

static void choose_methods(struct resolver *r)
{
    /* KubeVirt's VolumeSnapshots lie beside the source: from another namespace they need a copy. */
    bool beside = r->e->method == METHOD_VM_SNAPSHOT && r->e->clone_type != CLONE_FULL &&
                  !r->e->cross_namespace;
    r->lasting = claims_will_wait(r);
    for (size_t i = 0; i < r->ret->count; i++) {
        struct disk_plan *d = &r->ret->items[i];
        if (beside)
            d->method = DISK_RESTORE;
        else
            choose_method(r, d);
    }
    group_choice_make(r->a, &r->w->spec.source, r->e, r->c, r->ret);
    if (group_choice_unused(&r->w->spec.source, r->e, r->ret))
        findings_add(r->l, rule_find("group-class-unused"),
                     "spec.cloneSource.volumeGroupSnapshotClassName", NULL, "\"%.40s\"",
                     r->w->spec.source.group_class);
    for (size_t i = 0; i < r->ret->count; i++)
        if (r->e->needs_snapshot && disk_takes_snapshot(r->ret->items[i].method))
            check_cut(r, &r->ret->items[i]);
}

void disks_resolve(struct arena *a, const struct wukong *w, const struct wukong_effective *e,
                   const struct source_facts *s, const struct class_facts *c, struct findings *l,
                   struct disks *ret)
{
    struct resolver r = {a, w, e, s, c, l, ret, false};
    *ret = (struct disks){0};
    size_t max = w->spec.disk_count + s->volume_count;
    ret->items = arena_alloc(a, (max + 1) * sizeof(*ret->items));
    ret->left_out = arena_alloc(a, (max + 1) * sizeof(*ret->left_out));
    if (!ret->items || !ret->left_out || !s->looked_up)
        return;
    struct disk_plan d;
    for (size_t i = 0; i < w->spec.disk_count; i++)
        if (select_listed(&r, i, &d))
            resolve_disk(&r, d);
    for (size_t i = 0; i < s->volume_count; i++) {
        const struct volume_facts *v = &s->volumes[i];
        if (!v->claim)
            continue;
        if (!e->selective)
            resolve_disk(&r, (struct disk_plan){.name = v->name,
                                                .volume = v->name,
                                                .claim = v->claim,
                                                .spec_index = SIZE_MAX,
                                                .boot = v->boot});
        else if (!is_listed(&w->spec, v->name))
            leave_out(&r, v, LEFT_NOT_SELECTED, "not listed in spec.disks");
    }
    choose_methods(&r);
}
