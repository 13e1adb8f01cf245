/*
 * Tells what the worker makes of Wukongs, one JSON object a line on standard input:
 *
 *     {"errors": [{"rule": …, "field": …, "message": …}], "refused": "why" or null}
 *
 * errors is what the library that the worker is linked with judges of the spec. refused is the
 * worker's own word: it decodes the spec, resolves the defaults, asks its schedule whether the
 * clone may ever run, and builds the machine and the size of each claim, from a source that is all
 * that the spec can ask for (each disk named there, with a claim of one byte, and a cloud-init
 * volume). What it then still refuses it refuses for the spec alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"
#include "manifests/manifest.h"
#include "wukong/policy/schedule.h"
#include "wukong/rules/rules.h"
#include "wukong/rules/validate.h"

#define UID "0f8fad5b-d9cb-469f-a165-70867728950e"
#define NOW_MS INT64_C(1767225600000) /* 2026-01-01 */

static const char *source_disk(const struct wukong_disk *d)
{
    return str_or(str_or(d->source_disk, d->name), "");
}

/* Those that the Wukong maps: whether the source has them is no question of the spec alone. */
static void write_networks(struct json_writer *w, const struct wukong_target *t)
{
    json_array(w, "networks");
    for (size_t i = 0; i < t->map_count; i++) {
        json_object(w, NULL);
        json_string(w, "name", str_or(t->map[i].from, ""));
        json_object(w, "multus");
        json_string(w, "networkName", str_or(t->map[i].from, ""));
        json_end(w);
        json_end(w);
    }
    for (size_t i = 0; i < t->reference_count; i++) {
        if (t->references[i].kind != REFERENCE_NETWORK)
            continue;
        json_object(w, NULL);
        json_stringf(w, "name", "referenced-%zu", i);
        json_object(w, "multus");
        json_string(w, "networkName", str_or(t->references[i].from, ""));
        json_end(w);
        json_end(w);
    }
    json_end(w);
}

/* The same of Secrets and ConfigMaps. */
static void write_referenced(struct json_writer *w, const struct wukong_target *t)
{
    for (size_t i = 0; i < t->reference_count; i++) {
        const struct wukong_reference *r = &t->references[i];
        bool secret = r->kind == REFERENCE_SECRET;
        if (!secret && r->kind != REFERENCE_CONFIG_MAP)
            continue;
        json_object(w, NULL);
        json_stringf(w, "name", "referenced-%zu", i);
        json_object(w, secret ? "secret" : "configMap");
        json_string(w, secret ? "secretName" : "name", str_or(r->from, ""));
        json_end(w);
        json_end(w);
    }
}

/* A stopped VirtualMachine in the normal form of manifest_source_spec. */
static cJSON *make_source(const struct wukong_spec *spec)
{
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    struct json_writer w = json_writer(&text);
    struct err err = {0};
    cJSON *tree = NULL;
    json_object(&w, NULL);
    json_object(&w, "metadata");
    json_end(&w);
    json_object(&w, "spec");
    json_object(&w, "template");
    json_object(&w, "metadata");
    json_end(&w);
    json_object(&w, "spec");
    json_object(&w, "domain");
    json_end(&w);
    json_array(&w, "volumes");
    json_object(&w, NULL);
    json_string(&w, "name", "a-cloud-init");
    json_object(&w, "cloudInitNoCloud");
    json_string(&w, "userData", "#cloud-config");
    json_end(&w);
    json_end(&w);
    for (size_t i = 0; i < spec->disk_count; i++) {
        json_object(&w, NULL);
        json_string(&w, "name", source_disk(&spec->disks[i]));
        json_object(&w, "persistentVolumeClaim");
        json_stringf(&w, "claimName", "claim-of-the-source-%zu", i);
        json_end(&w);
        json_end(&w);
    }
    write_referenced(&w, &spec->target);
    json_end(&w);
    write_networks(&w, &spec->target);
    for (int open = 4; open > 0; open--)
        json_end(&w);
    if (!buf_ok(&text) || json_parse(text.data, text.len, true, &tree, &err) < 0)
        return NULL;
    return tree;
}

static int build_machine(const struct wukong *w, const struct wukong_effective *e, struct err *err)
{
    CLEANUP_JSON cJSON *source = make_source(&w->spec);
    static char claims[LIMIT_DISKS][PVC_NAME_BUF];
    struct manifest_disk disks[LIMIT_DISKS];
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    struct manifest_request r = {.wukong = w, .effective = e, .disks = disks};
    manifest_vm_init(&vm);
    for (; r.disk_count < w->spec.disk_count && r.disk_count < LIMIT_DISKS; r.disk_count++) {
        const struct wukong_disk *d = &w->spec.disks[r.disk_count];
        snprintf(claims[r.disk_count], PVC_NAME_BUF, "claim-of-the-clone-%zu", r.disk_count);
        disks[r.disk_count] =
            (struct manifest_disk){source_disk(d), claims[r.disk_count], d->boot == TRI_TRUE};
    }
    return manifest_vm_body(source, &r, &vm, err);
}

static int size_claims(const struct wukong *w, struct err *err)
{
    static const char claim[] = "{\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],"
                                "\"resources\":{\"requests\":{\"storage\":\"1\"}}}}";
    CLEANUP_JSON cJSON *source = NULL;
    if (json_parse(claim, strlen(claim), true, &source, err) < 0)
        return -1;
    for (size_t i = 0; i < w->spec.disk_count; i++) {
        const struct wukong_disk *d = &w->spec.disks[i];
        struct manifest_claim c = {.wukong = w,
                                   .name = "claim",
                                   .disk = str_or(d->name, ""),
                                   .source = source,
                                   .asked_size = d->size,
                                   .storage_class = d->storage_class,
                                   .origin = MANIFEST_FROM_SNAPSHOT,
                                   .origin_name = "snapshot"};
        CLEANUP_BUF struct buf body = BUF_INIT(MANIFEST_BODY_MAX);
        if (manifest_pvc_body(&c, &body, err) < 0)
            return -1;
    }
    return 0;
}

static int work(const cJSON *object, struct err *err)
{
    CLEANUP_ARENA struct arena arena;
    struct wukong w;
    arena_init(&arena, MIB);
    if (wukong_decode(&arena, object, &w, err) < 0)
        return -1;
    w.uid = UID;
    struct wukong_effective e = wukong_resolve_defaults(&w.spec, w.ns);
    if (!e.is_clone)
        return 0;
    if (e.source_type == SOURCE_UNSET || !e.source_name || e.clone_type == CLONE_UNSET ||
        e.method == METHOD_UNSET || e.replicas < 1)
        return err_set(err, ERR_INVALID, "no source, clone type, method or count is in force");
    struct schedule_verdict when = schedule_judge(&w.spec.source, NOW_MS);
    if (when.permitted_ms == INT64_MAX)
        return err_set(err, ERR_REFUSED, "%s", when.why);
    if (build_machine(&w, &e, err) < 0)
        return -1;
    return size_claims(&w, err);
}

static void answer(const char *line, size_t len)
{
    CLEANUP_BUF struct buf out = BUF_INIT(4u * MIB);
    CLEANUP_JSON cJSON *object = NULL;
    CLEANUP_FINDINGS struct findings findings;
    struct json_writer w = json_writer(&out);
    struct err err = {0};
    findings_init(&findings);
    bool refused = json_parse(line, len, true, &object, &err) < 0;
    if (!refused) {
        validate_create(object, &findings);
        refused = work(object, &err) < 0;
    }
    json_object(&w, NULL);
    json_array(&w, "errors");
    for (size_t i = 0; i < findings.count; i++) {
        if (findings.items[i].severity != FINDING_ERROR)
            continue;
        json_object(&w, NULL);
        json_string(&w, "rule", findings.items[i].rule->id);
        json_string(&w, "field", findings.items[i].field);
        json_string(&w, "message", findings.items[i].message);
        json_end(&w);
    }
    json_end(&w);
    if (refused)
        json_string(&w, "refused", err.message);
    json_end(&w);
    puts(buf_ok(&out) ? out.data : "null");
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    while ((len = getline(&line, &cap, stdin)) > 0)
        answer(line, (size_t)len);
    free(line);
    return 0;
}
