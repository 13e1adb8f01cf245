#include "lookup/source_lookup.h"

#include "apimachinery/dns_names.h"
#include "base/str.h"

/* --- Lists ----------------------------------------------------------------------------------- */

static size_t item_count(const cJSON *list)
{
    const cJSON *items = json_get(list, "items");
    int n = cJSON_IsArray(items) ? cJSON_GetArraySize(items) : 0;
    return n < 0 ? 0 : (size_t)n;
}

#define FOR_ITEMS(item, list)                                                                      \
    for (const cJSON *item = json_at((list), "items.#0"); item; item = item->next)

static void live_storage_classes(const cJSON *list, struct arena *a, struct class_facts *ret)
{
    size_t n = 0, max = item_count(list);
    struct storage_class_facts *items = arena_alloc(a, (max + 1) * sizeof *items);
    FOR_ITEMS(item, list)
    {
        if (items && n < max)
            facts_read_storage_class(a, item, &items[n++]);
    }
    ret->storage_classes = items;
    ret->storage_class_count = n;
}

/* Those of one kind; the others stay. */
static void live_snapshot_classes(const cJSON *list, bool group, struct arena *a,
                                  struct class_facts *ret)
{
    size_t n = 0, max = item_count(list) + ret->snapshot_class_count;
    struct snapshot_class_facts *items = arena_alloc(a, (max + 1) * sizeof *items);
    for (size_t i = 0; items && i < ret->snapshot_class_count; i++)
        if (ret->snapshot_classes[i].group != group)
            items[n++] = ret->snapshot_classes[i];
    FOR_ITEMS(item, list)
    {
        if (items && n < max)
            facts_read_snapshot_class(a, item, group, &items[n++]);
    }
    ret->snapshot_classes = items;
    ret->snapshot_class_count = n;
}

static void live_drivers(const cJSON *list, struct arena *a, struct class_facts *ret)
{
    size_t n = 0, max = item_count(list);
    const char **items = arena_alloc(a, (max + 1) * sizeof *items);
    FOR_ITEMS(item, list)
    {
        if (items && n < max)
            items[n++] = arena_strdup(a, str_or(json_str(item, "metadata.name"), ""));
    }
    ret->drivers = items;
    ret->driver_count = n;
    ret->drivers_known = true;
}

/* Whether the plan of the disks may take a VolumeGroupSnapshotClass. */
static bool may_group(const struct wukong *w, const struct wukong_effective *e)
{
    const struct wukong_source *s = &w->spec.source;
    return e->method == METHOD_GROUP_SNAPSHOT || (e->method == METHOD_AUTO && e->needs_snapshot &&
                                                  (!s->snapshot_class || s->group_class));
}

/* A list that cannot be read leaves the cache's view in force. */
static void live_lists(const struct wukong *w, const struct wukong_effective *e,
                       struct lookups *lookups, struct arena *a, struct source_info *g)
{
    struct lookup *storage = lookups_get(lookups, LOOKUP_STORAGE_CLASSES, NULL, NULL);
    struct lookup *snapshot = lookups_get(lookups, LOOKUP_SNAPSHOT_CLASSES, NULL, NULL);
    struct lookup *groups =
        may_group(w, e) ? lookups_get(lookups, LOOKUP_GROUP_CLASSES, NULL, NULL) : NULL;
    struct lookup *drivers = lookups_get(lookups, LOOKUP_DRIVERS, NULL, NULL);
    struct lookup *policies = lookups_get(lookups, LOOKUP_POLICIES, NULL, NULL);
    bool known = false;
    if (lookup_tree(storage))
        live_storage_classes(lookup_tree(storage), a, &g->classes);
    if (lookup_exists(snapshot, &known) || known) {
        g->classes.snapshot_api = lookup_tree(snapshot) != NULL;
        live_snapshot_classes(lookup_tree(snapshot), false, a, &g->classes);
    }
    if (groups && (lookup_exists(groups, &known) || known)) {
        g->classes.group_api = lookup_tree(groups) != NULL;
        live_snapshot_classes(lookup_tree(groups), true, a, &g->classes);
    }
    if (lookup_tree(drivers))
        live_drivers(lookup_tree(drivers), a, &g->classes);
    const cJSON *list = lookup_tree(policies);
    if (!list)
        return;
    size_t n = 0, max = item_count(list);
    struct policy *items = arena_alloc(a, (max + 1) * sizeof *items);
    FOR_ITEMS(item, list)
    {
        if (items && n < max)
            policy_decode(a, item, &items[n++]);
    }
    g->policies = items;
    g->policy_count = n;
    g->policies_incomplete = a->failed;
}

/* --- The source ------------------------------------------------------------------------------ */

static bool read_labels(struct arena *a, const cJSON *object, struct wukong_pairs *ret)
{
    *ret = (struct wukong_pairs){0};
    if (object)
        wukong_pairs_read(a, json_at(object, "metadata.labels"), ret);
    return object != NULL;
}

static void look_up_claims(const char *ns, struct lookups *lookups, struct arena *a,
                           struct source_info *g)
{
    struct source_facts *s = &g->source;
    const char *names[LIMIT_VOLUMES];
    size_t n = facts_claim_names(s, names, LIMIT_VOLUMES);
    s->claims = arena_alloc(a, (n + 1) * sizeof *s->claims);
    s->claim_count = 0;
    for (size_t i = 0; s->claims && i < n; i++) {
        struct claim_facts *claim = &s->claims[s->claim_count++];
        *claim = (struct claim_facts){.name = names[i]};
        if (!name_is_dns_subdomain(names[i]))
            continue;
        struct lookup *k = lookups_get(lookups, LOOKUP_CLAIM, ns, names[i]);
        bool known = false;
        (void)lookup_exists(k, &known);
        if (known)
            facts_read_claim(a, names[i], lookup_tree(k), claim);
        else if (k && k->done)
            g->incomplete = true;
    }
}

/* StorageProfiles say which snapshot class CDI would take; only those of the claims' classes. */
static void look_up_profiles(struct lookups *lookups, struct arena *a, struct source_info *g)
{
    const struct source_facts *s = &g->source;
    struct storage_profile_facts *items = arena_alloc(a, (s->claim_count + 1) * sizeof *items);
    size_t n = 0;
    for (size_t i = 0; items && i < s->claim_count; i++) {
        const char *class = s->claims[i].storage_class;
        if (!class || !name_is_dns_subdomain(class))
            continue;
        const cJSON *profile = lookup_tree(lookups_get(lookups, LOOKUP_PROFILE, NULL, class));
        if (profile)
            facts_read_storage_profile(a, profile, &items[n++]);
    }
    g->classes.profiles = items;
    g->classes.profile_count = n;
}

static void look_up_cdi(bool known, struct lookups *lookups, struct source_info *g)
{
    bool answered = false;
    if (!known)
        g->classes.cdi = lookup_exists(lookups_get(lookups, LOOKUP_CDI, NULL, NULL), &answered);
}

/* A preference may give a stopped VM a persistent TPM or EFI that its spec does not show. */
static void look_up_expanded(const struct wukong_effective *e, struct lookups *lookups,
                             struct source_info *g)
{
    if (!g->source.state_hidden)
        return;
    const struct lookup *k = lookups_get(lookups, LOOKUP_EXPANDED, e->source_ns, e->source_name);
    if (lookup_tree(k))
        facts_read_expanded(lookup_tree(k), &g->source);
    else if (k && k->done)
        g->incomplete = true;
}

static void look_up_machine(const struct wukong *w, const struct wukong_effective *e,
                            bool cdi_known, struct lookups *lookups, struct arena *a,
                            struct source_info *g)
{
    struct lookup *vm = lookups_get(lookups, LOOKUP_VM, e->source_ns, e->source_name);
    struct lookup *vmi = lookups_get(lookups, LOOKUP_VMI, e->source_ns, e->source_name);
    bool vm_known = false, vmi_known = false;
    look_up_cdi(cdi_known, lookups, g);
    (void)lookup_exists(vm, &vm_known);
    (void)lookup_exists(vmi, &vmi_known);
    if (!vm_known || !vmi_known) {
        g->incomplete |= (vm && vm->done && !vm_known) || (vmi && vmi->done && !vmi_known);
        return;
    }
    facts_read_source(a, lookup_tree(vm), lookup_tree(vmi), &g->source);
    facts_read_differences(a, lookup_tree(vm), lookup_tree(vmi), &w->spec, e->cross_namespace,
                           &g->source);
    g->source.looked_up = true;
    g->source.ns = e->source_ns;
    g->source_labels_known =
        read_labels(a, lookup_tree(vm) ? lookup_tree(vm) : lookup_tree(vmi), &g->source_labels);
    look_up_expanded(e, lookups, g);
    look_up_claims(e->source_ns, lookups, a, g);
    if (g->classes.cdi && !w->spec.source.snapshot_class)
        look_up_profiles(lookups, a, g);
}

static bool policies_select(const struct source_info *g, bool source)
{
    for (size_t i = 0; i < g->policy_count; i++) {
        const struct policy *p = &g->policies[i];
        if (source ? p->match.by_source_ns || p->exclude.by_source_ns
                   : p->match.by_target_ns || p->exclude.by_target_ns)
            return true;
    }
    return false;
}

void look_up_source(const struct source_known *known, const struct wukong *w,
                    const struct wukong_effective *e, const char *ns, bool live,
                    struct lookups *lookups, struct arena *a, struct source_info *ret)
{
    struct source_info g = {.policies = known->policies,
                            .policy_count = known->policy_count,
                            .policies_incomplete = known->policies_incomplete};
    if (known->classes)
        g.classes = *known->classes;
    if (live)
        live_lists(w, e, lookups, a, &g);
    look_up_machine(w, e, known->cdi_known && !live, lookups, a, &g);
    if (policies_select(&g, true))
        g.source_ns_labels_known = read_labels(
            a, lookup_tree(lookups_get(lookups, LOOKUP_SOURCE_NAMESPACE, e->source_ns, NULL)),
            &g.source_ns_labels);
    if (policies_select(&g, false))
        g.target_ns_labels_known =
            read_labels(a, lookup_tree(lookups_get(lookups, LOOKUP_TARGET_NAMESPACE, ns, NULL)),
                        &g.target_ns_labels);
    *ret = g;
}

struct policy_request source_info_request(const struct source_info *g, const struct wukong *w,
                                          const struct wukong_effective *e,
                                          const struct disks *disks, int64_t now_ms)
{
    return (struct policy_request){
        .source_ns_labels = g->source_ns_labels_known ? &g->source_ns_labels : NULL,
        .source_labels = g->source_labels_known ? &g->source_labels : NULL,
        .target_ns_labels = g->target_ns_labels_known ? &g->target_ns_labels : NULL,
        .wukong = w,
        .effective = e,
        .source = &g->source,
        .disks = g->source.looked_up ? disks : NULL,
        .cut = cut_foresee_source(e, &g->source, disks),
        .now_ms = now_ms,
    };
}
