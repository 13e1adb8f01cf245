#include "cli/plan_reads.h"

#include "apimachinery/dns_names.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/resources.h"

static const struct kube_kind machines = {RESOURCE_VM, .fields = {0}};
static const struct kube_kind instances = {RESOURCE_VMI, .fields = {0}};
static const struct kube_kind revisions = {RESOURCE_REVISION, .fields = {0}};
static const struct kube_kind needed[] = {
    {"", "v1", "secrets", "Secret", false, .fields = {0}},
    {RESOURCE_CONFIG_MAP, .fields = {0}},
    {RESOURCE_NETWORK, .fields = {0}},
};
/* More than these are not asked for one by one. */
#define NEEDS_ASKED 32

/* NULL: it is not there, or may not be read. */
static const cJSON *read_one(struct cluster *c, const struct kube_kind *kind, const char *ns,
                             const char *name, struct cluster_reply *reply)
{
    if (!name_is_dns_subdomain(name))
        return NULL;
    cluster_get(c, kind, ns, name, reply);
    return cluster_ok(reply) ? reply->tree : NULL;
}

void plan_read_machine(struct cluster *c, struct plan *f)
{
    CLEANUP_REPLY struct cluster_reply vm = {0}, vmi = {0}, revision = {0};
    const struct source_machine *m = &f->in->g->source.machine;
    const char *ns = f->in->e->source_ns;
    struct manifest_source from = {0};
    if (!f->known || !f->in->g->source.looked_up)
        return;
    if (m->vm_exists)
        from.vm = read_one(c, &machines, ns, str_or(m->vm_name, f->in->e->source_name), &vm);
    if (m->vmi_exists)
        from.vmi = read_one(c, &instances, ns, str_or(m->vmi_name, f->in->e->source_name), &vmi);
    const char *name = json_str(from.vmi, "status.virtualMachineRevisionName");
    if (name)
        from.revision_data = json_get(read_one(c, &revisions, ns, name, &revision), "data");
    if ((!from.vm && !from.vmi) || (from.vmi && name && !from.revision_data)) {
        plan_note_add(f, NOTE_WARNING, "machine",
                      "it is not shown, because the source's %s cannot be read",
                      name ? "ControllerRevision" : "machine");
        return;
    }
    plan_machine(f, &from);
}

static const struct kube_kind *needed_kind(const char *kind)
{
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (str_eq(needed[i].kind, kind))
            return &needed[i];
    return NULL;
}

void plan_read_needs(struct cluster *c, struct plan *f)
{
    for (size_t i = 0; i < f->need_count && i < NEEDS_ASKED; i++) {
        const struct plan_need *n = &f->needs[i];
        const struct kube_kind *kind = needed_kind(n->kind);
        CLEANUP_REPLY struct cluster_reply reply = {0};
        if (!kind || !name_is_dns_label(n->ns) || !name_is_dns_subdomain(n->name))
            continue;
        cluster_find(c, kind, n->ns, n->name, &reply);
        if (reply.status.err.kind != ERR_NOT_FOUND)
            continue;
        CLEANUP_FREE char *subject = xasprintf("%s %s", n->kind, n->name);
        plan_note_add(f, NOTE_WAITS, subject,
                      "it is not there in namespace %s, and the machine names it; create it",
                      n->ns);
    }
}
