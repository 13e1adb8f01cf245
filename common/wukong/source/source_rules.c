/* Every rule that needs facts of the source: its state here, its disks in source/disks.c. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "wukong/api/child_names.h"
#include "wukong/rules/rules.h"
#include "wukong/source/disks.h"

/* Of limits that callers need not care about: plans of at most LIMIT_VOLUMES disks. */
#define PLAN_BYTES (256u * KIB)

struct judge {
    const struct wukong *w;
    const struct wukong_effective *e;
    const struct source_facts *s;
    struct findings *l;
};

static const char *name_field(const struct judge *j)
{
    return j->e->source_type == SOURCE_VM ? "spec.cloneSource.vmName" : "spec.cloneSource.vmiName";
}

static void add_source_finding(const struct judge *j, const char *rule, const char *field,
                               const char *detail)
{
    CLEANUP_FREE char *value = xasprintf("\"%s\"", str_or(j->e->source_name, ""));
    findings_add(j->l, rule_find(rule), field, value, detail ? "%.200s" : NULL, detail);
}

static bool is_running(const struct source_facts *s)
{
    return s->machine.vmi_exists && str_eq(s->machine.phase, "Running");
}

/* Will start all by itself, or is doing so. */
static bool is_coming(const struct source_facts *s)
{
    return s->machine.vmi_exists || str_eq(s->vm_run_strategy, "Always") ||
           str_eq(s->vm_run_strategy, "Once");
}

static void judge_guest(const struct judge *j)
{
    if (j->s->machine.paused && j->e->quiesce != QUIESCE_NEVER)
        add_source_finding(j, "source-paused", name_field(j), NULL);
    if (j->e->quiesce == QUIESCE_REQUIRED && !j->s->machine.agent)
        findings_add(j->l, rule_find("source-no-agent"), "spec.cloneSource.quiesce", "\"Required\"",
                     NULL);
}

/* What the clone waits for, and what else may come of it. */
static void judge_holds(const struct judge *j)
{
    char text[HOLD_TEXT];
    bool freezes = j->e->clone_type != CLONE_FULL && j->e->quiesce != QUIESCE_NEVER;
    enum hold hold = holds_first(&j->s->machine.holds, freezes);
    if (hold == HOLD_MIGRATION)
        add_source_finding(j, "source-migrating", name_field(j), NULL);
    else if (hold)
        add_source_finding(j, "source-busy", name_field(j),
                           hold_text(hold, &j->s->machine.holds, text));
}

static void judge_state(const struct judge *j)
{
    bool running = is_running(j->s);
    if (j->e->clone_type == CLONE_FULL) {
        if (j->s->machine.vmi_exists)
            add_source_finding(j, "source-running", name_field(j), NULL);
        return;
    }
    if (running) {
        judge_guest(j);
        return;
    }
    if (j->e->source_type == SOURCE_VMI) {
        if (j->s->machine.vmi_ended && !j->s->machine.vm_exists)
            add_source_finding(j, "source-final", name_field(j), j->s->machine.phase);
        else
            add_source_finding(j, "source-not-running", name_field(j),
                               str_or(j->s->machine.phase, "no phase"));
        return;
    }
    /* A linked clone of a stopped VM needs no start. */
    if (j->e->clone_type == CLONE_LINKED)
        return;
    if (is_coming(j->s)) {
        add_source_finding(j, "source-not-running", name_field(j),
                           str_or(j->s->machine.phase, "no VMI"));
        return;
    }
    add_source_finding(j, "source-will-start", name_field(j), NULL);
    if (j->s->managed_by_gitops && str_eq(j->s->vm_run_strategy, "Halted"))
        add_source_finding(j, "source-gitops", name_field(j), NULL);
}

static void judge_volumes(const struct judge *j)
{
    for (size_t i = 0; i < j->s->volume_count; i++) {
        const struct volume_facts *v = &j->s->volumes[i];
        enum volume_fate fate = j->e->cross_namespace ? v->type->elsewhere : v->type->fate;
        if (fate == VOLUME_REFUSED)
            add_source_finding(
                j, str_eq(v->type->member, "hostDisk") ? "source-host-disk" : "source-volume",
                name_field(j), v->name);
        else if (fate == VOLUME_DROPPED)
            findings_add(j->l, rule_find("source-volume-dropped"), name_field(j), NULL,
                         "\"%.40s\" is left out: %.60s", v->name, v->type->words);
    }
}

static void judge_spec(const struct judge *j)
{
    if (j->s->persistent_tpm)
        add_source_finding(j, "source-tpm", name_field(j), NULL);
    if (j->s->persistent_efi)
        add_source_finding(j, "source-efi", name_field(j), NULL);
    judge_volumes(j);
    if (j->e->method == METHOD_VM_SNAPSHOT && !j->s->machine.vm_exists)
        findings_add(j->l, rule_find("vmsnapshot-standalone"), "spec.cloneSource.snapshotMethod",
                     "\"VirtualMachineSnapshot\"", NULL);
}

/* Names that come from the source: those of listed disks are a static rule's. */
static void judge_names(const struct judge *j, const struct disks *d)
{
    const char *name = str_or(j->w->name, str_or(j->w->generate_name, ""));
    char pvc[PVC_NAME_BUF];
    for (size_t i = 0; i < d->count; i++) {
        if (d->items[i].spec_index != SIZE_MAX)
            continue;
        name_pvc(name, j->e->replicas, j->e->replicas - 1, d->items[i].name, pvc);
        if (strlen(pvc) <= LIMIT_DNS_LABEL)
            continue;
        CLEANUP_FREE char *value = xasprintf("\"%s\"", name);
        findings_add(j->l, rule_find("name-length-source-disk"), "metadata.name", value,
                     "\"%.120s\" has %zu", pvc, strlen(pvc));
    }
}

/* A Secret may be named in several places: it is needed once. */
static bool told_before(const struct judge *j, size_t index)
{
    const struct source_need *n = &j->s->needs[index];
    for (size_t i = 0; i < index; i++)
        if (str_eq(j->s->needs[i].kind, n->kind) && str_eq(j->s->needs[i].name, n->name))
            return true;
    return false;
}

/* Every network of the source that is attached to it goes elsewhere. */
static bool is_mapped_nad(const struct judge *j, const char *nad)
{
    for (size_t i = 0; i < j->s->network_count; i++) {
        const struct network_facts *n = &j->s->networks[i];
        if (str_eq(n->nad, nad) && !network_mapped(&j->w->spec.target, n, j->e->source_ns))
            return false;
    }
    return true;
}

/* The kind of needs that target.references can give another name. */
static enum reference_kind reference_kind_of(const char *kind)
{
    for (int i = 1; i < REFERENCE_KINDS; i++)
        if (str_eq(kind, reference_kind_names[i]))
            return (enum reference_kind)i;
    return REFERENCE_UNSET;
}

static const char *renamed(const struct judge *j, const char *kind, const char *name)
{
    enum reference_kind of = reference_kind_of(kind);
    return of ? wukong_renamed(&j->w->spec.target, of, name) : NULL;
}

/* Whether they are there is not asked: they may come in the same commit, and Secrets are not read.
 */
static void judge_needs(const struct judge *j)
{
    for (size_t i = 0; j->e->cross_namespace && i < j->s->need_count; i++) {
        const struct source_need *n = &j->s->needs[i];
        bool replaced = str_eq(n->kind, "NetworkAttachmentDefinition") &&
                        (j->w->spec.network_count || is_mapped_nad(j, n->name));
        const char *to = renamed(j, n->kind, n->name);
        if (n->denied && !to && !wukong_allows_secret(&j->w->spec.source, n->name))
            findings_add(j->l, rule_find("source-secret"), name_field(j), NULL, "%s", n->denied);
        else if (!n->optional && !replaced && !told_before(j, i))
            findings_add(j->l, rule_find("source-needs"), name_field(j), NULL,
                         "the new VM needs %s \"%.48s\" in its own namespace", n->kind,
                         str_or(to, n->name));
    }
}

static bool names_object(const struct judge *j, const struct wukong_reference *r)
{
    for (size_t i = 0; i < j->s->network_count; i++)
        if (network_is_referenced(&j->s->networks[i], r, j->e->source_ns))
            return true;
    for (size_t i = 0; i < j->s->need_count; i++)
        if (reference_kind_of(j->s->needs[i].kind) == r->kind &&
            str_eq(j->s->needs[i].name, r->from))
            return true;
    /* More than are kept of one source. */
    return j->s->need_count == LIMIT_NEEDS;
}

static void judge_references(const struct judge *j)
{
    const struct wukong_target *t = &j->w->spec.target;
    for (size_t i = 0; i < t->reference_count; i++) {
        const struct wukong_reference *r = &t->references[i];
        char field[64];
        if (!r->kind || !r->from || names_object(j, r))
            continue;
        CLEANUP_FREE char *value = xasprintf("\"%.100s\"", r->from);
        (void)snprintf(field, sizeof field, "spec.target.references[%zu].from", i);
        findings_add(j->l, rule_find("source-reference"), field, value, "a %s",
                     reference_kind_names[r->kind]);
    }
}

static void judge_map(const struct judge *j, size_t index)
{
    const char *from = j->w->spec.target.map[index].from;
    char field[64], names[200] = "";
    size_t len = 0;
    for (size_t i = 0; from && i < j->s->network_count; i++) {
        if (network_is(&j->s->networks[i], from, j->e->source_ns))
            return;
        if (len < sizeof names)
            len += (size_t)snprintf(names + len, sizeof names - len, "%s\"%s\"", i ? ", " : "",
                                    j->s->networks[i].name);
    }
    CLEANUP_FREE char *value = xasprintf("\"%.100s\"", str_or(from, ""));
    snprintf(field, sizeof field, "spec.target.network.map[%zu].from", index);
    findings_add(j->l, rule_find("source-network-map"), field, value, "it has %s",
                 *names ? names : "none");
}

static void judge_networks(const struct judge *j)
{
    const struct wukong_target *t = &j->w->spec.target;
    for (size_t i = 0; i < t->map_count; i++)
        judge_map(j, i);
    for (size_t i = 0; i < j->s->network_count && t->links == LINKS_DOWN; i++) {
        const struct network_facts *n = &j->s->networks[i];
        if (n->sriov && !j->w->spec.network_count &&
            !str_eq(network_mapped(t, n, j->e->source_ns), NETWORK_POD))
            findings_add(j->l, rule_find("source-sriov-link"), "spec.target.network.links",
                         "\"Down\"", "\"%.63s\"", n->name);
    }
}

static void judge_differences(const struct judge *j)
{
    for (size_t i = 0; i < j->s->difference_count; i++) {
        const struct source_difference *d = &j->s->differences[i];
        bool has = !d->secret || !j->e->cross_namespace ||
                   wukong_allows_secret(&j->w->spec.source, d->secret) ||
                   wukong_renamed(&j->w->spec.target, REFERENCE_SECRET, d->secret);
        if (has && d->destroys && !j->w->spec.guest.cloud_init)
            findings_add(j->l, rule_find("source-formats"), "spec.guest.cloudInit", NULL, "%s",
                         d->text);
        else if (has)
            findings_add(j->l, rule_find("source-differs"), name_field(j), NULL, "%s", d->text);
    }
}

static bool exists(const struct judge *j)
{
    return j->e->source_type == SOURCE_VM ? j->s->machine.vm_exists
                                          : machine_has_instance(&j->s->machine);
}

void validate_source(const struct wukong *w, const struct wukong_effective *e,
                     const struct source_facts *s, const struct class_facts *c, struct findings *l)
{
    struct judge j = {w, e, s, l};
    if (!e->is_clone || !s->looked_up || e->source_type == SOURCE_UNSET || !e->source_name)
        return;
    if (!exists(&j)) {
        findings_add(l, rule_find("source-missing"), name_field(&j), NULL, "%s %.63s/%.63s",
                     e->source_type == SOURCE_VM ? "VM" : "VMI", e->source_ns, e->source_name);
        return;
    }
    if (s->deleting) {
        add_source_finding(&j, "source-deleting", name_field(&j), NULL);
        return;
    }
    judge_state(&j);
    judge_holds(&j);
    judge_spec(&j);
    judge_needs(&j);
    judge_networks(&j);
    judge_references(&j);
    CLEANUP_ARENA struct arena a;
    arena_init(&a, PLAN_BYTES);
    struct disks d;
    size_t before = l->errors;
    disks_resolve(&a, w, e, s, c, l, &d);
    if (!d.count && l->errors == before)
        add_source_finding(&j, "source-no-disks", name_field(&j), NULL);
    judge_names(&j, &d);
    if (s->reset_refusal)
        findings_add(l, rule_find("source-reset"), "spec.guest", NULL, "%s", s->reset_refusal);
    /* Last, so that what ends or delays the clone is read first. */
    judge_differences(&j);
}
