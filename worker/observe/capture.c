#include "observe/capture.h"

#include <assert.h>

#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"
#include "manifests/manifest.h"
#include "observe/queries.h"
#include "wukong/rules/rules.h"

/* --- which reads --- */

struct read_list {
    struct arena *arena;
    struct capture_read *items;
    size_t count;
};

#define READS_MAX (LIMIT_DISKS + 8)
/* The spec that is resolved has no name of its own. */
#define EXPANSION "expand"

static void want_read(struct read_list *l, int kind, const char *ns, const char *name,
                      enum call_kind call)
{
    if (!name || l->count == READS_MAX)
        return;
    l->items[l->count++] = (struct capture_read){kind, ns, name, call_key_named(call, name), NULL};
}

static cJSON *parse_call(const struct call_log *m, enum call_kind call, const char *name)
{
    cJSON *tree = NULL;
    const struct call *c = name ? call_log_find(m, call_key_named(call, name)) : NULL;
    if (!call_was_ok(c) || !c->body || json_read(c->body, c->body_len, &tree, NULL) < 0)
        return NULL;
    return tree;
}

/* The normalised source out of what was read; NULL with *err filled. */
static cJSON *normalise(const struct clone_state *v, const cJSON *vm, const cJSON *vmi,
                        struct err *err)
{
    cJSON *source = NULL;
    CLEANUP_JSON cJSON *revision =
        parse_call(v->call_log, CALL_READ_SOURCE_REVISION, json_str(vmi, F_REVISION_NAME));
    struct manifest_source in = {json_get(revision, "data"), vmi, vm};
    return manifest_source_spec(&in, &source, err) < 0 ? NULL : source;
}

/* cpu or memory set over an instancetype: KubeVirt refuses both, so the instancetype is resolved
   first, by KubeVirt itself. What a preference gives a stopped machine shows there alone. */
static void want_expansion(const struct clone_state *v, const cJSON *vm, const cJSON *vmi,
                           struct read_list *l)
{
    struct err err = {0};
    CLEANUP_BUF struct buf body = BUF_INIT(MANIFEST_BODY_MAX);
    CLEANUP_JSON cJSON *source = normalise(v, vm, vmi, &err);
    if (!source ||
        !(manifest_needs_expand(source, &v->wukong->spec) || manifest_hides_state(source, vmi)) ||
        manifest_expand_body(source, str_or(v->source.vm_name, v->source.vmi_name),
                             v->effective.source_ns, &body, &err) < 0)
        return;
    want_read(l, KIND_EXPAND, v->effective.source_ns, EXPANSION, CALL_EXPAND_SOURCE);
    l->items[l->count - 1].body = arena_strdup(v->arena, body.data);
}

/* The capture that the first snapshot carries; NULL when that has not been read, or carries none
   (it was too large for an annotation). */
static cJSON *carried(const struct clone_state *v)
{
    CLEANUP_JSON cJSON *snapshot = parse_call(v->call_log, CALL_READ_CARRIER, v->snapshot_carrier);
    CLEANUP_JSON cJSON *tree = NULL;
    const char *text = json_str(snapshot, "metadata.annotations[" MANIFEST_SPEC_ANNOTATION "]");
    if (!text || json_read(text, strlen(text), &tree, NULL) < 0)
        return NULL;
    bool whole = cJSON_IsObject(json_at(tree, "source.spec.template.spec.domain")) &&
                 cJSON_GetArraySize(json_get(tree, "disks")) > 0;
    return whole ? TAKE(tree) : NULL;
}

/* Then the source is read once more: the best there is. */
static bool carrier_is_empty(const struct clone_state *v)
{
    if (!v->snapshot_carrier ||
        !call_was_ok(
            call_log_find(v->call_log, call_key_named(CALL_READ_CARRIER, v->snapshot_carrier))))
        return false;
    CLEANUP_JSON cJSON *tree = carried(v);
    return !tree;
}

static void want_what_the_source_names(const struct clone_state *v, struct read_list *l)
{
    CLEANUP_JSON cJSON *vm = parse_call(v->call_log, CALL_READ_SOURCE_VM, v->source.vm_name);
    CLEANUP_JSON cJSON *vmi = parse_call(v->call_log, CALL_READ_SOURCE_VMI, v->source.vmi_name);
    if (!vm && !vmi)
        return;
    struct source_facts facts = {0};
    const char *names[LIMIT_DISKS];
    facts_read_source(v->arena, vm, vmi, &facts);
    if (vmi && vm)
        want_read(l, KIND_REVISION, v->effective.source_ns,
                  arena_strdup(v->arena, json_str(vmi, F_REVISION_NAME)),
                  CALL_READ_SOURCE_REVISION);
    size_t n = facts_claim_names(&facts, names, LIMIT_DISKS);
    for (size_t i = 0; i < n && i < LIMIT_DISKS; i++)
        want_read(l, KIND_PVC, v->effective.source_ns, names[i], CALL_READ_SOURCE_CLAIM);
    want_expansion(v, vm, vmi, l);
}

const struct capture_read *capture_reads(const struct clone_state *v, size_t *ret_count)
{
    struct read_list l = {.arena = v->arena};
    if (v->capture.reads) {
        *ret_count = v->capture.read_count;
        return v->capture.reads;
    }
    l.items = arena_alloc(v->arena, READS_MAX * sizeof *l.items);
    if (v->snapshot_carrier && !carrier_is_empty(v)) {
        want_read(&l, (int)v->carrier_kind, v->effective.source_ns, v->snapshot_carrier,
                  CALL_READ_CARRIER);
    } else {
        if (v->source.vm_exists)
            want_read(&l, KIND_VM, v->effective.source_ns, v->source.vm_name, CALL_READ_SOURCE_VM);
        if (v->source.vmi_exists)
            want_read(&l, KIND_VMI, v->effective.source_ns, v->source.vmi_name,
                      CALL_READ_SOURCE_VMI);
        else
            /* That it is stopped is not believed of a cache, which may be behind. */
            want_read(&l, KIND_VMI, v->effective.source_ns, v->source.vm_name,
                      CALL_READ_SOURCE_ABSENT);
        want_what_the_source_names(v, &l);
    }
    *ret_count = l.count;
    return l.items;
}

/* --- building --- */

static void refuse_capture(struct clone_state *v, enum reason reason, const char *text)
{
    v->capture.refusal = reason;
    v->capture.api_error_text = arena_strdup(v->arena, text);
}

static bool judge_findings(struct clone_state *v, const struct findings *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct finding *one = &l->items[i];
        if (one->severity != FINDING_ERROR)
            continue;
        CLEANUP_BUF struct buf text = BUF_INIT(4096);
        buf_addf(&text, "%s: %s", one->field, one->message);
        refuse_capture(v, one->rule->reason, text.data);
        return false;
    }
    return true;
}

/* Only what the user asked for changes the boot order; the source's own is carried over as it is.
 */
static bool boot_asked(const struct clone_state *v, const struct disk_plan *p)
{
    return p->spec_index < v->wukong->spec.disk_count &&
           v->wukong->spec.disks[p->spec_index].boot == TRI_TRUE;
}

static void write_disk(struct json_writer *w, const struct clone_state *v,
                       const struct disk_plan *p, const cJSON *pvc)
{
    json_object(w, NULL);
    json_string(w, "name", p->name);
    json_string(w, "volume", p->volume);
    json_string(w, "claim", p->claim);
    json_number(w, "sourceBytes", p->source_bytes);
    json_number(w, "bytes", p->bytes);
    json_string(w, "sourceClass", p->source_class);
    json_string(w, "storageClass", p->storage_class);
    json_string(w, "driver", p->driver);
    json_string(w, "volumeMode", p->volume_mode);
    json_string(w, "snapshotClass", p->snapshot_class);
    json_boolean(w, "retain", p->snapshot_class_retain);
    json_boolean(w, "grouped", p->grouped);
    json_string(w, "methodWhy", p->method_why);
    json_boolean(w, "cutOrdered", p->cut.ordered);
    json_string(w, "cutRule", cut_rule_names[p->cut.rule]);
    json_boolean(w, "cutSlow", p->cut.slow);
    json_boolean(w, "cutKnown", p->cut.known);
    json_string(w, "method", disk_method_names[p->method]);
    json_boolean(w, "boot", boot_asked(v, p));
    json_boolean(w, "shared", p->shared);
    json_object(w, "pvc");
    json_object(w, "metadata");
    const cJSON *annotations = json_at(pvc, "metadata.annotations");
    const char *content = json_str(annotations, "[cdi.kubevirt.io/storage.contentType]");
    if (content) {
        json_object(w, "annotations");
        json_string(w, "cdi.kubevirt.io/storage.contentType", content);
        json_end(w);
    }
    json_end(w);
    json_tree(w, "spec", json_get(pvc, "spec"));
    json_object(w, "status");
    json_tree(w, "capacity", json_at(pvc, "status.capacity"));
    json_end(w);
    json_end(w);
    json_end(w);
}

static int64_t number_of(const cJSON *o, const char *key)
{
    int64_t n = 0;
    return json_int(o, key, &n) ? n : 0;
}

/* Fixed when the disk was planned. A capture of an older worker has none: it took the creation for
   the cut. */
static bool read_cut(const cJSON *o, struct cut_verdict *ret)
{
    const char *rule = json_str(o, "cutRule");
    *ret = (struct cut_verdict){.slow = json_bool(o, "cutSlow", false),
                                .known = json_bool(o, "cutKnown", true),
                                .ordered = json_bool(o, "cutOrdered", false)};
    return !json_get(o, "cutRule") || (rule && cut_rule_find(rule, &ret->rule));
}

/* By its name. A capture of an older worker has a number, whose meaning is fixed here for ever: the
   snapshots of a linked clone carry theirs for years. DISK_METHOD_NONE: neither. */
static enum disk_method read_method(const cJSON *o)
{
    static const enum disk_method numbered[] = {DISK_METHOD_NONE, DISK_RESTORE,
                                                DISK_CDI_CLONE,   DISK_CDI_SNAPSHOT,
                                                DISK_CSI_CLONE,   DISK_HANDLE_COPY};
    const char *name = json_str(o, "method");
    int64_t number = number_of(o, "method");
    for (size_t m = DISK_METHOD_NONE + 1; name && m < DISK_METHODS; m++)
        if (str_eq(disk_method_names[m], name))
            return (enum disk_method)m;
    return number > 0 && (size_t)number < ARRAY_LEN(numbered) ? numbered[number] : DISK_METHOD_NONE;
}

/* A capture that was read back from a snapshot may have been edited by whoever may edit that. */
static bool disk_is_whole(const cJSON *o)
{
    struct cut_verdict cut;
    return read_cut(o, &cut) && json_str(o, "name") && json_str(o, "volume") &&
           json_str(o, "claim") && read_method(o) != DISK_METHOD_NONE &&
           cJSON_IsObject(json_get(o, "pvc"));
}

/* Reads the plan back from the capture's JSON. */
static void load(struct clone_state *v, const char *text, size_t len)
{
    cJSON *tree = NULL;
    if (json_read(text, len, &tree, NULL) < 0)
        return;
    clone_keep_tree(v, tree);
    const cJSON *list = json_get(tree, "disks");
    size_t n = (size_t)cJSON_GetArraySize(list);
    const cJSON *one;
    bool whole = n > 0 && n <= LIMIT_DISKS;
    cJSON_ArrayForEach (one, list)
        whole = whole && disk_is_whole(one);
    if (!whole) {
        refuse_capture(v, REASON_SOURCE_UNSUPPORTED,
                       "the source's capture is damaged or has too many disks");
        return;
    }
    struct disk_plan *plans = arena_alloc(v->arena, (n + 1) * sizeof *plans);
    v->disks = arena_alloc(v->arena, (n + 1) * sizeof *v->disks);
    const cJSON *o;
    size_t i = 0;
    cJSON_ArrayForEach (o, list) {
        plans[i] = (struct disk_plan){
            .name = json_str(o, "name"),
            .volume = json_str(o, "volume"),
            .claim = json_str(o, "claim"),
            .spec_index = SIZE_MAX,
            .source_bytes = number_of(o, "sourceBytes"),
            .bytes = number_of(o, "bytes"),
            .source_class = json_str(o, "sourceClass"),
            .storage_class = json_str(o, "storageClass"),
            .driver = json_str(o, "driver"),
            .volume_mode = json_str(o, "volumeMode"),
            .snapshot_class = json_str(o, "snapshotClass"),
            .snapshot_class_retain = json_bool(o, "retain", false),
            .grouped = json_bool(o, "grouped", false),
            .method_why = json_str(o, "methodWhy"),
            .method = read_method(o),
            .boot = json_bool(o, "boot", false),
            .shared = json_bool(o, "shared", false),
        };
        (void)read_cut(o, &plans[i].cut);
        v->disks[i].plan = &plans[i];
        i++;
    }
    v->disk_count = n;
    v->capture.present = true;
    v->capture.tree = tree;
    v->capture.text = text;
}

static void store(struct clone_state *v, struct call_log *call_log, const cJSON *source,
                  const struct disks *plan, int64_t read_ms)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct json_writer w = json_writer(&text);
    json_object(&w, NULL);
    json_tree(&w, "source", source);
    json_array(&w, "disks");
    for (size_t i = 0; i < plan->count; i++) {
        CLEANUP_JSON cJSON *pvc =
            parse_call(call_log, CALL_READ_SOURCE_CLAIM, plan->items[i].claim);
        write_disk(&w, v, &plan->items[i], pvc);
    }
    json_end(&w);
    json_end(&w);
    if (!buf_ok(&text)) {
        refuse_capture(v, REASON_SOURCE_UNSUPPORTED,
                       "the source's spec is larger than a Kubernetes object may be");
        return;
    }
    struct call *c = call_log_get(call_log, call_key(CALL_CAPTURE));
    c->state = CALL_OK;
    size_t len = text.len;
    call_set_body(c, buf_take(&text), len);
    c->done_ms = read_ms;
    c->failures = (unsigned)clone_plan_number(v);
    load(v, c->body, c->body_len);
}

static void read_claims(const struct clone_state *v, struct source_facts *facts)
{
    const char *names[LIMIT_DISKS];
    size_t n = facts_claim_names(facts, names, LIMIT_DISKS);
    n = n < LIMIT_DISKS ? n : LIMIT_DISKS;
    facts->claims = arena_alloc(v->arena, (n + 1) * sizeof *facts->claims);
    for (size_t i = 0; i < n; i++) {
        const struct call *c =
            call_log_find(v->call_log, call_key_named(CALL_READ_SOURCE_CLAIM, names[i]));
        CLEANUP_JSON cJSON *pvc = parse_call(v->call_log, CALL_READ_SOURCE_CLAIM, names[i]);
        facts_read_claim(v->arena, names[i], pvc, &facts->claims[i]);
        facts->claims[i].looked_up = call_was_ok(c) || call_was_absent(c);
    }
    facts->claim_count = n;
}

/* Takes ownership of source. What is resolved is looked at, too, where only that shows the state
   which cannot be cloned; the clone keeps its preference then. */
static cJSON *expanded(const struct clone_state *v, cJSON *source, const cJSON *vmi,
                       struct err *err)
{
    CLEANUP_JSON cJSON *raw = source;
    cJSON *full = NULL;
    bool needed = raw && manifest_needs_expand(raw, &v->wukong->spec);
    if (!raw || !(needed || manifest_hides_state(raw, vmi)))
        return TAKE(raw);
    CLEANUP_JSON cJSON *reply = parse_call(v->call_log, CALL_EXPAND_SOURCE, EXPANSION);
    if (!reply) {
        (void)err_set(err, ERR_UNAVAILABLE,
                      "the worker is asking KubeVirt to resolve the instancetype");
        return NULL;
    }
    if (manifest_source_expanded(raw, reply, &full, err) < 0)
        return NULL;
    if (needed)
        return full;
    cJSON_Delete(full);
    return TAKE(raw);
}

/* A source that was restored, or whose volumes were migrated, names other claims than those that
   this attempt has begun to copy. Where nothing carries the capture, the record knows. */
static bool names_other_claims(struct clone_state *v, const struct disks *plan)
{
    const struct clone_record *r = &v->record;
    for (size_t i = 0; clone_past_cut(v) && i < r->disk_count; i++)
        for (size_t k = 0; k < plan->count; k++) {
            const struct disk_plan *p = &plan->items[k];
            if (!str_eq(p->name, r->disks[i].name) || str_eq(p->claim, r->disks[i].claim))
                continue;
            refuse_capture(v, REASON_SOURCE_CHANGED,
                           arena_printf(v->arena,
                                        "disk %s of the source is now PersistentVolumeClaim %s, "
                                        "but this attempt copies %s",
                                        p->name, p->claim,
                                        str_or(r->disks[i].claim, "another one")));
            return true;
        }
    return false;
}

static void from_reads(struct clone_state *v, struct call_log *call_log, int64_t read_ms)
{
    CLEANUP_JSON cJSON *vm =
        parse_call(call_log, CALL_READ_SOURCE_VM, v->source.vm_exists ? v->source.vm_name : NULL);
    CLEANUP_JSON cJSON *vmi = parse_call(call_log, CALL_READ_SOURCE_VMI,
                                         v->source.vmi_exists ? v->source.vmi_name : NULL);
    struct err err = {0};
    if (!vm && !vmi)
        return;
    CLEANUP_JSON cJSON *source = expanded(v, normalise(v, vm, vmi, &err), vmi, &err);
    if (!source) {
        refuse_capture(v, err.kind == ERR_REFUSED ? REASON_SOURCE_UNSUPPORTED : REASON_WAITING,
                       err.message);
        return;
    }
    struct source_facts facts = {0};
    struct disks plan = {0};
    CLEANUP_FINDINGS struct findings findings;
    findings_init(&findings);
    facts_read_source(v->arena, vm, vmi, &facts);
    facts.looked_up = true;
    facts.ns = v->effective.source_ns;
    read_claims(v, &facts);
    disks_resolve(v->arena, v->wukong, &v->effective, &facts, &v->classes, &findings, &plan);
    if (!judge_findings(v, &findings))
        return;
    if (names_other_claims(v, &plan))
        return;
    if (!plan.count) {
        refuse_capture(v, REASON_DISK_UNSUITABLE, "the source has no disk that can be cloned");
        return;
    }
    for (size_t i = 0; i < plan.count; i++) {
        const struct claim_facts *claim = facts_claim(&facts, plan.items[i].claim);
        bool there = claim && claim->exists && !claim->deleting;
        /* Nothing can be cut of it, and a guest that is frozen for it is frozen for nothing. */
        if (there && !claim->bound) {
            refuse_capture(v, REASON_DISK_UNSUITABLE,
                           arena_printf(v->arena,
                                        "disk %s: PersistentVolumeClaim %s is not bound: %s",
                                        plan.items[i].name, plan.items[i].claim,
                                        v->source.vmi_exists ? "it is waited for"
                                                             : "start the VirtualMachine once"));
            return;
        }
        if (there && plan.items[i].method != DISK_METHOD_NONE)
            continue;
        refuse_capture(v, REASON_DISK_UNSUITABLE,
                       arena_printf(v->arena, "disk %s: PersistentVolumeClaim %s %s",
                                    plan.items[i].name, plan.items[i].claim,
                                    there ? "has no storage class whose driver is known"
                                          : "is not there or going"));
        return;
    }
    store(v, call_log, source, &plan, read_ms);
}

/* The wall clock of the oldest read, 0 while one is missing. */
static int64_t oldest_read(const struct clone_state *v)
{
    size_t n = 0;
    int64_t oldest = INT64_MAX;
    const struct capture_read *reads = capture_reads(v, &n);
    for (size_t i = 0; i < n; i++) {
        const struct call *c = call_log_find(v->call_log, reads[i].key);
        if (!call_was_ok(c) && !call_was_absent(c))
            return 0;
        oldest = c->done_ms < oldest ? c->done_ms : oldest;
    }
    return n ? oldest : 0;
}

static void from_carrier(struct clone_state *v, struct call_log *call_log)
{
    CLEANUP_JSON cJSON *tree = carried(v);
    struct err err = {0};
    if (!tree)
        return;
    if (manifest_source_check(json_get(tree, "source"), &err) < 0) {
        refuse_capture(v, REASON_SOURCE_UNSUPPORTED, err.message);
        return;
    }
    struct call *c = call_log_get(call_log, call_key(CALL_CAPTURE));
    c->state = CALL_OK;
    char *text = json_print(tree);
    call_set_body(c, text, strlen(text));
    c->done_ms = v->now.wall_ms;
    c->failures = (unsigned)clone_plan_number(v);
    load(v, c->body, c->body_len);
}

/* What carried the capture may be gone, and the source with it, while the machines are there. The
   record says of which disks they are; only what is yet to be made needs the capture. */
static void plan_from_record(struct clone_state *v)
{
    const struct clone_record *r = &v->record;
    if (v->capture.present || !clone_past_cut(v) || !r->disk_count)
        return;
    struct disk_plan *plans = arena_alloc(v->arena, r->disk_count * sizeof *plans);
    v->disks = arena_alloc(v->arena, r->disk_count * sizeof *v->disks);
    for (size_t i = 0; i < r->disk_count; i++) {
        const struct record_disk *d = &r->disks[i];
        plans[i] = (struct disk_plan){
            .name = d->name,
            .volume = d->volume,
            .claim = d->claim,
            .spec_index = SIZE_MAX,
            .bytes = d->bytes,
            .storage_class = d->storage_class,
            .cut = {.rule = d->cut, .known = true},
            .grouped = d->grouped || v->effective.method == METHOD_GROUP_SNAPSHOT,
            .method = d->method,
        };
        v->disks[i] = (struct disk_state){.plan = &plans[i]};
    }
    v->disk_count = r->disk_count;
}

static void build_capture(struct clone_state *v, struct call_log *call_log)
{
    const struct call *kept = call_log_find(call_log, call_key(CALL_CAPTURE));
    bool same_attempt = call_ok(kept) && kept->failures == (unsigned)clone_plan_number(v);
    v->capture.sealed = v->snapshot_carrier != NULL;
    bool fixed = v->capture.sealed || record_owes_thaw(&v->record) || clone_past_cut(v);
    if (same_attempt && fixed) {
        load(v, kept->body, kept->body_len);
        return;
    }
    if (v->capture.sealed && !carrier_is_empty(v)) {
        from_carrier(v, call_log);
        return;
    }
    /* To know them is to parse the source, and within one look they stay the same. */
    v->capture.reads = capture_reads(v, &v->capture.read_count);
    int64_t read_ms = oldest_read(v);
    if (same_attempt && kept->done_ms >= read_ms)
        load(v, kept->body, kept->body_len);
    else if (read_ms)
        from_reads(v, call_log, read_ms);
}

void capture_build(struct clone_state *v, struct call_log *call_log)
{
    build_capture(v, call_log);
    plan_from_record(v);
}

/* Of what no cache holds nothing is said: it follows from the machine, and does not change. */
static bool is_current(const struct clone_state *v, const struct cache_reader *caches,
                       const struct capture_read *r)
{
    const struct call *c = call_log_find(v->call_log, r->key);
    if (r->kind >= WORKER_KINDS)
        return call_was_ok(c);
    const struct kube_object *o =
        caches->get(caches->arg, (enum worker_kind)r->kind, r->ns, r->name);
    return o ? call_was_ok(c) && str_eq(c->version, o->resource_version) : call_was_absent(c);
}

void capture_compare(struct clone_state *v, const struct cache_reader *caches)
{
    size_t n = 0;
    if (v->capture.sealed || (!v->capture.refusal && !v->capture.present))
        return;
    const struct capture_read *reads = capture_reads(v, &n);
    v->capture.current = n > 0;
    for (size_t i = 0; i < n && v->capture.current; i++)
        v->capture.current = is_current(v, caches, &reads[i]);
}

const cJSON *capture_claim(const struct clone_state *v, size_t disk)
{
    assert(disk < v->disk_count);
    return json_get(cJSON_GetArrayItem(json_get(v->capture.tree, "disks"), (int)disk), "pvc");
}

const cJSON *capture_source(const struct clone_state *v)
{
    return json_get(v->capture.tree, "source");
}

const char *capture_run_strategy(const struct clone_state *v)
{
    return json_str(capture_source(v), MANIFEST_RUN_STRATEGY);
}
