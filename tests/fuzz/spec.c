/*
 * Any JSON as a Wukong, as the old one of an UPDATE, as a ClonePolicy and as a source: no crash,
 * every message has text, and the mutating patch has nothing to do the second time.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "json/json.h"
#include "wukong/api/spec.h"
#include "wukong/policy/policy.h"
#include "wukong/rules/validate.h"
#include "wukong/source/disks.h"

static void judge_all(const cJSON *tree, const cJSON *other)
{
    CLEANUP_FINDINGS struct findings l;
    CLEANUP_BUF struct buf out = BUF_INIT(4 * MIB);
    findings_init(&l);
    validate_create(tree, &l);
    validate_unknown_fields(tree, &l);
    validate_update(other, tree, &l);
    validate_policy(tree, &l);
    for (size_t i = 0; i < l.count; i++)
        assert(*l.items[i].message);
    findings_message(&l, &out);
    const struct source_defaults d = wukong_source_defaults(tree, NULL, "ns");
    assert(!d.clone_type || cJSON_IsObject(json_at(tree, "spec.cloneSource")));
    (void)wukong_source_defaults(tree, other, "ns");
}

/* The tree as everything that a clone looks at. */
static void resolve(const cJSON *tree)
{
    CLEANUP_ARENA struct arena a;
    CLEANUP_FINDINGS struct findings l;
    CLEANUP_FREE struct policy_findings *found = xcalloc(1, sizeof(*found));
    struct wukong w;
    struct source_facts s;
    struct claim_facts claims[LIMIT_VOLUMES];
    struct storage_class_facts storage;
    struct snapshot_class_facts snapshot;
    struct policy policy;
    struct err err;
    const char *names[LIMIT_VOLUMES];
    arena_init(&a, 4 * MIB);
    findings_init(&l);
    if (wukong_decode(&a, tree, &w, &err) < 0)
        return;
    struct wukong_effective e = wukong_resolve_defaults(&w.spec, w.ns);
    facts_read_source(&a, json_get(tree, "vm"), json_get(tree, "vmi"), &s);
    s.claim_count = facts_claim_names(&s, names, ARRAY_LEN(names));
    s.claims = claims;
    for (size_t i = 0; i < s.claim_count; i++)
        facts_read_claim(&a, names[i], json_get(tree, "pvc"), &claims[i]);
    facts_read_storage_class(&a, json_get(tree, "sc"), &storage);
    facts_read_snapshot_class(&a, json_get(tree, "vsc"), false, &snapshot);
    struct class_facts c = {.looked_up = true,
                            .snapshot_api = true,
                            .storage_classes = &storage,
                            .storage_class_count = 1,
                            .snapshot_classes = &snapshot,
                            .snapshot_class_count = 1};
    validate_source(&w, &e, &s, &c, &l);
    policy_decode(&a, json_get(tree, "policy"), &policy);
    struct policy_request r = {
        .wukong = &w, .effective = &e, .source = &s, .now_ms = 1767225600000};
    policy_judge(&a, &policy, 1, &r, NULL, POLICY_AT_EXECUTION, found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err;
    if (json_parse((const char *)data, size, true, &tree, &err) < 0)
        return 0;
    judge_all(tree, json_get(tree, "old"));
    resolve(tree);
    return 0;
}
