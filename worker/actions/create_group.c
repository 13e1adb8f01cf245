/* What a VolumeGroupSnapshot needs: the label on the claims that it is cut of, and its own body. */
#include "actions/create.h"

#include "base/str.h"
#include "manifests/manifest.h"
#include "observe/queries.h"

/* Its value tells the attempts apart, and the groups of one. */
static const char *cut_label_value(const struct clone_state *v, const struct clone_group *g)
{
    return arena_printf(v->arena, "%lld-%zu", (long long)clone_attempt(v), g->first);
}

void create_claim_label(const struct clone_state *v, struct decision *d, size_t disk)
{
    const struct disk_state *of = &v->disks[disk];
    struct intent *i =
        intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_PVC], v->effective.source_ns,
                    of->plan->claim, call_key_label(clone_attempt(v), of->plan->claim));
    i->body =
        arena_printf(v->arena, "{\"metadata\":{\"labels\":{\"" CUT_LABEL_PREFIX "%s\":\"%s\"}}}",
                     v->wukong->uid, cut_label_value(v, of->group));
}

static void send_group(const struct clone_state *v, struct decision *d, const struct clone_group *g,
                       enum intent_verb verb, struct call_key key)
{
    CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
    struct err err = {0};
    struct target_group t = {
        .wukong = v->wukong,
        .version = str_or(v->group_version, worker_kinds[KIND_GROUP].version),
        .name = g->name,
        .ns = g->ns,
        .disk = v->disks[g->first].plan->name,
        .class = g->class,
        .label_key = arena_printf(v->arena, CUT_LABEL_PREFIX "%s", v->wukong->uid),
        .label_value = cut_label_value(v, g),
        .source_spec = g->first == 0 ? v->capture.tree : NULL,
    };
    if (target_group_body(&t, &out, &err) < 0 || !buf_ok(&out)) {
        create_tell(v, d, &err, g->name);
        return;
    }
    struct intent *i =
        intents_add(&d->intents, verb, &worker_kinds[KIND_GROUP], g->ns, g->name, key);
    i->body = create_add_labels(v, out.data, g->first, true);
}

void create_group(const struct clone_state *v, struct decision *d, const struct clone_group *g)
{
    send_group(v, d, g, INTENT_CREATE, call_key_named(CALL_CREATE_GROUP, g->name));
}

void create_dry_run_group(const struct clone_state *v, struct decision *d,
                          const struct clone_group *g)
{
    send_group(v, d, g, INTENT_DRY_RUN, clone_dry_key(v, CALL_DRY_SNAPSHOT, g->name));
}
