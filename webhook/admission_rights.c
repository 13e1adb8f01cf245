#include "webhook/admission_judgement.h"

#include "base/mem.h"
#include "base/str.h"

/* One word of a shell, whatever stands in it: names come from identity providers, and the command
   is pasted by an admin. */
static const char *quoted(struct judgement *j, const char *word)
{
    CLEANUP_BUF struct buf out = BUF_INIT(KIB);
    buf_addc(&out, '\'');
    for (size_t i = 0; i < 128 && word[i]; i++) {
        if (word[i] == '\'')
            buf_adds(&out, "'\\''");
        else
            buf_addc(&out, word[i]);
    }
    buf_addc(&out, '\'');
    return str_or(arena_strdup(&j->arena, out.data), "''");
}

/* What is missing, and who can give it how: commands that work as they are printed. */
static const char *clone_denial(struct judgement *j)
{
    const struct wukong_effective *e = &j->e;
    return arena_printf(
        &j->arena,
        "user \"%.128s\" may not clone %s \"%s\" of namespace \"%s\": that needs verb create on "
        "wukongs/source (group " WUKONG_GROUP ") there; an admin of that namespace grants it with: "
        "kubectl -n %s create role wukong-source-%s --verb=create --resource=wukongs." WUKONG_GROUP
        "/source --resource-name=%s && kubectl -n %s create rolebinding wukong-source-%s "
        "--role=wukong-source-%s --user=%s",
        j->review.user, e->source_type == SOURCE_VM ? "VirtualMachine" : "VirtualMachineInstance",
        e->source_name, e->source_ns, e->source_ns, e->source_name, e->source_name, e->source_ns,
        e->source_name, e->source_name, quoted(j, j->review.user));
}

/* `kubectl create role` refuses a group that serves subresources only, so the rule is printed. */
static const char *start_denial(struct judgement *j)
{
    return arena_printf(
        &j->arena,
        "user \"%.128s\" may not start VirtualMachine \"%s\" of namespace \"%s\", which is "
        "stopped: start it first, or have an admin of that namespace bind you to a Role with the "
        "rule {apiGroups: [subresources.kubevirt.io], resources: [virtualmachines/start], "
        "resourceNames: [%s], verbs: [update]}",
        j->review.user, j->e.source_name, j->e.source_ns, j->e.source_name);
}

/* Nobody would carry it out, or could: the rights are given in the namespaces served alone. */
static bool is_served(struct judgement *j)
{
    const char *const needed[] = {j->review.ns, j->e.source_ns};
    for (size_t i = 0; j->c->scope && i < ARRAY_LEN(needed); i++) {
        if (scope_covers(j->c->scope, needed[i]))
            continue;
        CLEANUP_FREE char *why = scope_refusal(j->c->scope, needed[i]);
        j->decided_by = "NamespaceNotServed";
        j->denial = arena_strdup(&j->arena, why);
        return false;
    }
    return true;
}

bool admission_may_clone(struct judgement *j)
{
    const struct wukong_effective *e = &j->e;
    if (!is_served(j))
        return false;
    if (!e->cross_namespace)
        return true;
    if (j->c->no_cross_namespace) {
        j->decided_by = "CrossNamespaceOff";
        j->denial = "this cluster does not allow clones from another namespace (chart value "
                    "crossNamespace.enabled); choose a source in the Wukong's own namespace";
        return false;
    }
    struct lookup *clone = lookups_access(j->lookups, LOOKUP_MAY_CLONE, j->review.user_info,
                                          e->source_ns, e->source_name);
    bool starts = e->source_type == SOURCE_VM && e->clone_type == CLONE_RUNNING;
    struct lookup *start = starts
                               ? lookups_access(j->lookups, LOOKUP_MAY_START, j->review.user_info,
                                                e->source_ns, e->source_name)
                               : NULL;
    if (!j->c->out_of_time && (!clone->done || (start && !start->done))) {
        j->pending = true;
        return false;
    }
    bool known = false;
    bool allowed = lookup_allowed(clone, &known);
    j->may_start = lookup_allowed(start, &j->start_known);
    j->start_known |= !start;
    if (allowed)
        return true;
    j->decided_by = known ? "SourceAccess" : "SourceAccessUnknown";
    if (known)
        j->denial = clone_denial(j);
    else
        j->undecided = arena_printf(&j->arena,
                                    "the webhook could not check whether user \"%.128s\" may clone "
                                    "from namespace \"%s\" (the API server answered %d); try again",
                                    j->review.user, e->source_ns, clone->code);
    return false;
}

void admission_start_unknown(struct judgement *j)
{
    j->decided_by = "SourceStartUnknown";
    j->undecided =
        str_or(arena_printf(&j->arena,
                            "the webhook could not check whether user \"%.128s\" may start the "
                            "stopped VirtualMachine \"%s\" of namespace \"%s\"; try again",
                            j->review.user, j->e.source_name, j->e.source_ns),
               "the webhook could not check a right; try again");
}

void admission_check_start(struct judgement *j, const struct source_info *g)
{
    if (!j->e.cross_namespace || j->may_start || j->e.source_type != SOURCE_VM ||
        j->e.clone_type != CLONE_RUNNING || machine_has_instance(&g->source.machine))
        return;
    if (!j->start_known) {
        admission_start_unknown(j);
    } else if (g->source.machine.vm_exists) {
        j->decided_by = "SourceStart";
        j->denial = start_denial(j);
    }
}
