/*
 * Proves what `plan` foretells of facts that are given: which verdict follows from what, the moment
 * at which every window is open, the quota, the cost, and that its text fits the width. The rules,
 * the choice of classes and the policies' judgement have tests of their own; here it is proved that
 * plan asks them and what it makes of the answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "cli/plan.h"
#include "json/json.h"

#define NOON_MS INT64_C(1767268800000) /* 2026-01-01T12:00:00Z, a Thursday */
#define HOUR_MS INT64_C(3600000)

struct world {
    struct arena arena;
    cJSON *tree, *quotas;
    struct wukong w;
    struct wukong_effective e;
    struct source_info g;
    struct plan_input in;
    struct plan *f;
    struct policy policies[4];
};

static cJSON *parse(const char *text)
{
    cJSON *tree = NULL;
    struct err err = {0};
    if (json_parse(text, strlen(text), true, &tree, &err) < 0)
        fail_msg("%s in %s", err.message, text);
    return tree;
}

static void read_source(struct world *w, bool agent)
{
    CLEANUP_BUF struct buf vmi = BUF_INIT(MIB);
    buf_addf(&vmi,
             "{\"metadata\":{\"name\":\"shop\",\"namespace\":\"prod\",\"uid\":\"u\"},\"spec\":{"
             "\"domain\":{\"devices\":{\"disks\":[{\"name\":\"root\"},{\"name\":\"data\"}]}},"
             "\"volumes\":[{\"name\":\"root\",\"persistentVolumeClaim\":{\"claimName\":\"c0\"}},"
             "{\"name\":\"data\",\"persistentVolumeClaim\":{\"claimName\":\"c1\"}},"
             "{\"name\":\"key\",\"secret\":{\"secretName\":\"tls\"}}]},"
             "\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"AgentConnected\","
             "\"status\":\"%s\"}]}}",
             agent ? "True" : "False");
    CLEANUP_JSON cJSON *tree = parse(vmi.data);
    static const char claim[] =
        "{\"spec\":{\"storageClassName\":\"fast\",\"accessModes\":[\"ReadWriteOnce\"]},"
        "\"status\":{\"phase\":\"Bound\",\"capacity\":{\"storage\":\"10Gi\"}}}";
    CLEANUP_JSON cJSON *pvc = parse(claim);
    static struct claim_facts claims[2];
    static struct storage_class_facts storage[] = {{"fast", "csi.example.com", true, true, false}};
    static struct snapshot_class_facts snapshots[] = {
        {"snap", "csi.example.com", false, false, {0}, false, NULL}};
    facts_read_source(&w->arena, NULL, tree, &w->g.source);
    w->g.source.ns = "prod";
    facts_read_claim(&w->arena, "c0", pvc, &claims[0]);
    facts_read_claim(&w->arena, "c1", pvc, &claims[1]);
    w->g.source.claims = claims;
    w->g.source.claim_count = 2;
    w->g.classes = (struct class_facts){.looked_up = true,
                                        .snapshot_api = true,
                                        .storage_classes = storage,
                                        .storage_class_count = 1,
                                        .snapshot_classes = snapshots,
                                        .snapshot_class_count = 1};
}

/* source: more members of cloneSource; more: of spec. Both begin with a comma or are empty. */
static void open_world(struct world *w, const char *ns, const char *source, const char *more,
                       bool agent)
{
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    struct err err = {0};
    *w = (struct world){0};
    arena_init(&w->arena, 8 * MIB);
    buf_addf(
        &text,
        "{\"apiVersion\":\"vm.novasphere.dev/v1alpha1\",\"kind\":\"Wukong\",\"metadata\":{"
        "\"name\":\"copy\",\"namespace\":\"%s\",\"uid\":\"01234567-89ab-cdef-0123-456789abcdef\"},"
        "\"spec\":{\"cloneSource\":{\"type\":\"vmi\",\"vmiName\":\"shop\",\"namespace\":\"prod\"%s}"
        "%s}}",
        ns, source, more);
    w->tree = parse(text.data);
    assert_int_equal(0, wukong_decode(&w->arena, w->tree, &w->w, &err));
    w->e = wukong_resolve_defaults(&w->w.spec, w->w.ns);
    read_source(w, agent);
    w->g.policies = w->policies;
    w->f = xcalloc(1, sizeof *w->f);
    w->f->arena = &w->arena;
    w->f->in = &w->in;
    w->in = (struct plan_input){.tree = w->tree,
                                .w = &w->w,
                                .e = &w->e,
                                .g = &w->g,
                                .admission_known = true,
                                .now_ms = NOON_MS};
}

static void add_policy(struct world *w, const char *spec)
{
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    buf_addf(&text, "{\"metadata\":{\"name\":\"p%zu\"},\"spec\":{%s}}", w->g.policy_count, spec);
    CLEANUP_JSON cJSON *tree = parse(text.data);
    policy_decode(&w->arena, tree, &w->policies[w->g.policy_count++]);
}

static void close_world(struct world *w)
{
    cJSON_Delete(w->tree);
    cJSON_Delete(w->quotas);
    free(w->f);
    arena_release(&w->arena);
}

static bool noted(const struct world *w, enum plan_note_kind kind, const char *part)
{
    for (size_t i = 0; i < w->f->note_count; i++)
        if (w->f->notes[i].kind == kind &&
            (strstr(w->f->notes[i].text, part) || strstr(w->f->notes[i].subject, part)))
            return true;
    return false;
}

/* The VMI of read_source, alone, with more members of its domain. */
static void build_machine(struct world *w, const char *domain)
{
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    buf_addf(
        &text,
        "{\"metadata\":{\"name\":\"shop\",\"namespace\":\"prod\"},\"spec\":{\"domain\":{%s"
        "\"firmware\":{\"serial\":\"s\"},\"devices\":{\"disks\":[{\"name\":\"root\"},{\"name\":"
        "\"data\"}]}},\"volumes\":[{\"name\":\"root\",\"persistentVolumeClaim\":{"
        "\"claimName\":\"c0\"}},{\"name\":\"data\",\"persistentVolumeClaim\":{\"claimName\":"
        "\"c1\"}},{\"name\":\"key\",\"secret\":{\"secretName\":\"tls\"}}]},\"status\":{\"phase\":"
        "\"Running\"}}",
        domain);
    CLEANUP_JSON cJSON *vmi = parse(text.data);
    plan_build(&w->in, &w->arena, w->f);
    plan_machine(w->f, &(struct manifest_source){.vmi = vmi});
    plan_conclude(w->f);
}

static bool is_changed(const struct world *w, const char *text)
{
    for (size_t i = 0; i < w->f->change_count; i++)
        if (str_eq(w->f->changes[i], text))
            return true;
    return false;
}

/* The worker's own code builds it: what it refuses and warns of is foretold. */
static void test_machine(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "prod", "", ",\"cpu\":4,\"memory\":\"2Gi\",\"disks\":[{\"name\":\"root\"}]",
               true);
    build_machine(&w, "\"cpu\":{\"cores\":2},\"devices2\":{},");
    assert_int_equal(PLAN_RUNS, w.f->verdict);
    CLEANUP_JSON cJSON *machine = parse(w.f->machine);
    assert_string_equal("copy-vm", json_str(machine, "metadata.name"));
    assert_string_equal("copy-root", json_str(machine, "spec.template.spec.volumes.#0."
                                                       "persistentVolumeClaim.claimName"));
    assert_true(is_changed(&w, "template.spec.domain.cpu.cores: 2 becomes 4"));
    assert_true(is_changed(&w, "template.spec.domain.memory: {\"guest\":\"2Gi\"} is new"));
    assert_true(is_changed(&w,
                           "template.spec.volumes[root].persistentVolumeClaim.claimName: \"c0\" "
                           "becomes \"copy-root\""));
    /* Identity is new in each clone, and no difference. */
    for (size_t i = 0; i < w.f->change_count; i++)
        assert_null(strstr(w.f->changes[i], "serial"));
    assert_int_equal(1, w.f->need_count);
    assert_string_equal("tls", w.f->needs[0].name);
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    plan_text(w.f, 100, &text);
    assert_non_null(
        strstr(text.data, "Differs:      template.spec.domain.cpu.cores: 2 becomes 4\n"));
    close_world(&w);

    open_world(&w, "prod", "", ",\"memory\":\"3Gi\"", true);
    build_machine(&w, "\"memory\":{\"hugepages\":{\"pageSize\":\"2Gi\"}},");
    assert_int_equal(PLAN_WAITS, w.f->verdict);
    assert_true(noted(&w, NOTE_WAITS, "is no multiple of the source's hugepages.pageSize"));
    assert_null(w.f->machine);
    close_world(&w);

    open_world(&w, "prod", "", "", true);
    build_machine(&w, "\"x\":{},");
    assert_false(noted(&w, NOTE_WARNING, "asks for the source's"));
    close_world(&w);
}

static void test_disks_and_cost(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "prod", "", ",\"replicas\":3,\"disks\":[{\"name\":\"root\",\"size\":\"20Gi\"}]",
               true);
    plan_build(&w.in, &w.arena, w.f);
    assert_int_equal(PLAN_RUNS, w.f->verdict);
    assert_int_equal(0, w.f->start_ms);
    assert_int_equal(CUT_FROZEN, w.f->cut.mode);
    assert_int_equal(1, w.f->disks.count);
    /* snapshot-<sourceVMI>-<wukong>-<uid8>-<attempt>-<disk>. */
    assert_string_equal("snapshot-shop-copy-01234567-1-root", w.f->items[0].snapshot);
    assert_int_equal(CLASS_OF_ONLY, w.f->items[0].plan->snapshot_class_origin);
    assert_true(w.f->cost.claim_bytes == INT64_C(60) << 30);
    assert_true(w.f->cost.snapshot_bytes == INT64_C(10) << 30);
    assert_int_equal(1 + 1 + 3 + 3, w.f->cost.objects);
    assert_int_equal(1, w.f->disks.left_out_count);
    close_world(&w);
}

static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *what, *source, *more, *policy, *quota;
        bool agent, stored, blind, admission;
        enum plan_verdict verdict;
        enum plan_note_kind kind;
        const char *note;
    } rows[] = {
        {"all is well", "", "", NULL, NULL, true, false, false, true, PLAN_RUNS, 0, NULL},
        {"no agent is no obstacle", "", "", NULL, NULL, false, false, false, true, PLAN_RUNS, 0,
         NULL},
        {"no agent and Required", ",\"quiesce\":\"Required\"", "", NULL, NULL, false, false, false,
         true, PLAN_WAITS, NOTE_WAITS, "guest agent is not connected"},
        {"shrinking is refused", "", ",\"disks\":[{\"name\":\"root\",\"size\":\"1Gi\"}]", NULL,
         NULL, true, false, false, true, PLAN_REFUSED, NOTE_REFUSED,
         "a disk may grow and never shrink"},
        {"a stored one waits instead", "", ",\"disks\":[{\"name\":\"root\",\"size\":\"1Gi\"}]",
         NULL, NULL, true, true, false, true, PLAN_WAITS, NOTE_WAITS,
         "a disk may grow and never shrink"},
        {"a static rule", "", ",\"replicas\":101", NULL, NULL, true, false, false, true,
         PLAN_REFUSED, NOTE_REFUSED, "spec.replicas"},
        {"a policy denies", "", ",\"replicas\":3", "\"rules\":{\"maxReplicas\":1}", NULL, true,
         false, false, true, PLAN_REFUSED, NOTE_REFUSED, "replicas 3 is not allowed; at most 1"},
        {"a policy demands a freeze", "", "",
         "\"rules\":{\"minimumConsistency\":\"CrashConsistent\"}", NULL, false, false, false, true,
         PLAN_REFUSED, NOTE_REFUSED, "the snapshot would be CrashConsistentPerDisk"},
        {"a policy demands a freeze, and one there will be", "", "",
         "\"rules\":{\"minimumConsistency\":\"FilesystemConsistent\"}", NULL, true, false, false,
         true, PLAN_RUNS, 0, NULL},
        {"a quota is too small", "", ",\"replicas\":3", NULL,
         "\"hard\":{\"requests.storage\":\"50Gi\"},\"used\":{\"requests.storage\":\"0\"}", true,
         false, false, true, PLAN_WAITS, NOTE_WAITS, "the clone needs 60Gi, 50Gi of 50Gi are left"},
        {"a quota of the class", "", "", NULL,
         "\"hard\":{\"fast.storageclass.storage.k8s.io/persistentvolumeclaims\":\"1\"}", true,
         false, false, true, PLAN_WAITS, NOTE_WAITS, "the clone needs 2, 1 of 1 are left"},
        {"a quota that suffices to the byte", "", "", NULL,
         "\"hard\":{\"requests.storage\":\"20Gi\"},\"used\":{\"requests.storage\":\"0\"}", true,
         false, false, true, PLAN_RUNS, 0, NULL},
        {"what may not be read, but the server accepts it", "", "", NULL, NULL, true, false, true,
         true, PLAN_RUNS, 0, NULL},
        {"what may not be read, and nobody knows", "", "", NULL, NULL, true, false, true, false,
         PLAN_UNKNOWN, NOTE_UNKNOWN, "you may not"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        open_world(&w, "prod", rows[i].source, rows[i].more, rows[i].agent);
        w.in.stored = rows[i].stored;
        w.in.admission_known = rows[i].admission;
        if (rows[i].policy)
            add_policy(&w, rows[i].policy);
        if (rows[i].quota) {
            CLEANUP_BUF struct buf text = BUF_INIT(MIB);
            buf_addf(&text, "{\"items\":[{\"metadata\":{\"name\":\"q\"},\"status\":{%s}}]}",
                     rows[i].quota);
            w.quotas = parse(text.data);
            w.in.quotas = w.quotas;
        }
        if (rows[i].blind)
            plan_note_add(&w.f[0], NOTE_UNKNOWN, "right", "you may not list classes");
        plan_build(&w.in, &w.arena, w.f);
        if (w.f->verdict != rows[i].verdict)
            fail_msg("%s: %s", rows[i].what, plan_verdict_names[w.f->verdict]);
        if (rows[i].note && !noted(&w, rows[i].kind, rows[i].note))
            fail_msg("%s: no note \"%s\"", rows[i].what, rows[i].note);
        close_world(&w);
    }
}

static void test_start(void **state)
{
    (void)state;
    static const char night[] = "\"windows\":[{\"schedule\":\"0 22 * * *\",\"duration\":\"6h\"}]";
    static const struct {
        const char *what, *source, *policy;
        int64_t start_ms; /* after noon; -1: never */
        enum plan_verdict verdict;
    } rows[] = {
        {"now", "", NULL, 0, PLAN_RUNS},
        {"notBefore", ",\"notBefore\":\"2026-01-01T15:00:00Z\"", NULL, 3 * HOUR_MS, PLAN_RUNS},
        {"its own window", ",\"window\":{\"schedule\":\"0 20 * * *\",\"duration\":\"1h\"}", NULL,
         8 * HOUR_MS, PLAN_RUNS},
        {"a policy's window", "", night, 10 * HOUR_MS, PLAN_RUNS},
        {"both are open together: the later of the two", ",\"notBefore\":\"2026-01-02T01:00:00Z\"",
         night, 13 * HOUR_MS, PLAN_RUNS},
        {"notBefore ends after the window has shut: the next night",
         ",\"notBefore\":\"2026-01-02T06:00:00Z\"", night, 34 * HOUR_MS, PLAN_RUNS},
        {"windows that never meet", ",\"window\":{\"schedule\":\"0 8 * * *\",\"duration\":\"1h\"}",
         night, -1, PLAN_WAITS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        open_world(&w, "prod", rows[i].source, "", true);
        if (rows[i].policy)
            add_policy(&w, rows[i].policy);
        plan_build(&w.in, &w.arena, w.f);
        int64_t start = w.f->start_ms == INT64_MAX ? -1
                        : w.f->start_ms            ? w.f->start_ms - NOON_MS
                                                   : 0;
        if (start != rows[i].start_ms || w.f->verdict != rows[i].verdict)
            fail_msg("%s: %lld h, %s", rows[i].what, (long long)(start / HOUR_MS),
                     plan_verdict_names[w.f->verdict]);
        close_world(&w);
    }
}

static void test_other_namespace(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "lab", "", "", true);
    plan_build(&w.in, &w.arena, w.f);
    assert_true(noted(&w, NOTE_WARNING, "Secret \"tls\" is not in allowSecrets: volume"));
    assert_int_equal(DISK_HANDLE_COPY, w.f->items[0].plan->method);
    /* Of each disk two snapshots with their contents: here and there. */
    assert_int_equal(2 * 2 * 2 + 2 + 1, w.f->cost.objects);
    close_world(&w);
}

/* Which rule says when a disk's snapshot is cut, and who said so: the table, or a policy. */
static void test_cut_rule(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *rule, *because;
    } rows[] = {
        {NULL, "Created", "as CSI demands"},
        {"\"rules\":{\"unknownDriverCutRule\":\"Ready\"}", "Ready", "demanded by a ClonePolicy"},
        {"\"rules\":{\"cutRule\":\"Ready\"}", "Ready", "demanded by a ClonePolicy"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        open_world(&w, "prod", "", "", true);
        if (rows[i].policy)
            add_policy(&w, rows[i].policy);
        CLEANUP_BUF struct buf out = BUF_INIT(MIB), json = BUF_INIT(MIB);
        plan_build(&w.in, &w.arena, w.f);
        assert_int_equal(w.f->verdict, PLAN_RUNS);
        plan_text(w.f, 200, &out);
        CLEANUP_FREE char *line = xasprintf("rule %s, %s", rows[i].rule, rows[i].because);
        assert_non_null(strstr(out.data, line));
        plan_json(w.f, &json);
        CLEANUP_JSON cJSON *tree = parse(json.data);
        assert_string_equal(rows[i].rule, json_str(tree, "disks.#0.snapshot.cutRule"));
        assert_string_equal(rows[i].because, json_str(tree, "disks.#0.snapshot.cutBecause"));
        close_world(&w);
    }
}

static void test_text(void **state)
{
    (void)state;
    static const unsigned widths[] = {40, 60, 100};
    for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
        struct world w;
        open_world(&w, "prod", ",\"notBefore\":\"2026-01-01T15:00:00Z\"", "", true);
        CLEANUP_BUF struct buf out = BUF_INIT(MIB), json = BUF_INIT(MIB);
        plan_build(&w.in, &w.arena, w.f);
        plan_text(w.f, widths[i], &out);
        unsigned columns = 0;
        for (const char *p = out.data; *p; p++) {
            columns = *p == '\n' ? 0 : columns + (((unsigned char)*p & 0xC0) != 0x80);
            if (columns > widths[i])
                fail_msg("wider than %u:\n%s", widths[i], out.data);
        }
        assert_non_null(strstr(out.data, "2026-01-01T15:00:00Z"));
        plan_json(w.f, &json);
        CLEANUP_JSON cJSON *tree = parse(json.data);
        assert_string_equal("2026-01-01T15:00:00Z", json_str(tree, "startTime"));
        assert_string_equal("copy-vm", json_str(tree, "targets.#0.vmName"));
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disks_and_cost), cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_start),          cmocka_unit_test(test_other_namespace),
        cmocka_unit_test(test_cut_rule),       cmocka_unit_test(test_text),
        cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
