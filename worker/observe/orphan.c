#include "observe/orphan.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "manifests/manifest.h"
#include "observe/queries.h"

/* What the API server calls us: the User-Agent up to its slash, where a request names no manager
   (Kubernetes, apiserver pkg/endpoints/handlers/create.go: managerOrUserAgent). */
#define WORKER_MANAGER "wukong-worker"
#define SNAPSHOT_PREFIX "snapshot-"
/* No namespace bears this name. */
#define SOURCE_ELSEWHERE "-"

const enum worker_kind orphan_kinds[ORPHAN_KINDS] = {KIND_SNAPSHOT, KIND_GROUP, KIND_VM_SNAPSHOT,
                                                     KIND_CONTENT, KIND_GROUP_CONTENT};

/* Whoever copies an object writes its labels himself. */
static bool is_labelled_by_us(const cJSON *tree)
{
    const cJSON *m;
    cJSON_ArrayForEach (m, json_at(tree, "metadata.managedFields"))
        if (str_eq(json_str(m, "manager"), WORKER_MANAGER) &&
            str_eq(json_str(m, "operation"), "Update") && str_empty(json_str(m, "subresource")) &&
            json_at(m, "fieldsV1.f:metadata.f:labels[f:" WUKONG_UID_LABEL "]"))
            return true;
    return false;
}

static bool keep_text(char *out, size_t size, const char *text, size_t n)
{
    if (!n || n >= size)
        return false;
    memcpy(out, text, n);
    out[n] = '\0';
    return true;
}

/* "team/copy in shop", written where it was made: a copy elsewhere says the same. */
static bool read_maker(const cJSON *tree, struct orphan_maker *ret)
{
    const char *text = str_or(json_str(tree, "metadata.annotations[" MADE_FOR_ANNOTATION "]"), "");
    const char *slash = strchr(text, '/'), *in = strstr(text, " in ");
    return slash && in && in > slash &&
           str_eq(in + 4, str_or(json_str(tree, "metadata.namespace"), "no namespace")) &&
           keep_text(ret->ns, sizeof ret->ns, text, (size_t)(slash - text)) &&
           keep_text(ret->name, sizeof ret->name, slash + 1, (size_t)(in - slash - 1));
}

/* The source whose name makes this very name: it stands in the name, whole or as its head. */
static bool find_source(const char *name, const struct orphan_maker *of, int64_t attempt,
                        const char *disk, char out[NAME_BUF])
{
    if (!str_starts(name, SNAPSHOT_PREFIX))
        return false;
    const char *rest = name + strlen(SNAPSHOT_PREFIX);
    for (size_t n = 1; n < NAME_BUF && rest[n - 1]; n++) {
        char made[NAME_BUF];
        memcpy(out, rest, n);
        out[n] = '\0';
        name_snapshot(out, of->name, of->uid, attempt, disk, made);
        if (str_eq(made, name))
            return true;
    }
    return false;
}

/* A parent of a linked clone: csi-snapshotter has made it, and the worker has labelled it. */
static bool proves_parent(const char *name, const char *prefix, const cJSON *ref,
                          struct orphan_maker *ret)
{
    const char *uid = json_str(ref, "uid"), *ns = str_or(json_str(ref, "namespace"), "");
    CLEANUP_FREE char *usual = xasprintf("%s%s", prefix, str_or(uid, ""));
    return !str_empty(uid) && str_eq(name, usual) &&
           keep_text(ret->source_ns, sizeof ret->source_ns, ns, strlen(ns));
}

static bool proves_content(const cJSON *tree, const char *name, const char *copy,
                           struct orphan_maker *ret)
{
    const cJSON *ref = json_at(tree, "spec.volumeSnapshotRef");
    if (json_at(tree, F_VOLUME_HANDLE))
        return proves_parent(name, "snapcontent-", ref, ret);
    return str_eq(name, copy) && str_eq(json_str(ref, "namespace"), ret->ns);
}

/* The copy beside the clone stands on our own content; all else is where its source is. */
static bool proves_snapshot(enum worker_kind kind, const cJSON *tree, const char *name,
                            const char *content, struct orphan_maker *ret)
{
    int64_t attempt = 0;
    const char *ns = str_or(json_str(tree, "metadata.namespace"), "");
    const char *given = json_str(tree, F_SOURCE_CONTENT);
    const char *disk = kind == KIND_VM_SNAPSHOT ? NULL : json_str(tree, F_LABEL_NAME_OF_DISK);
    if (given && (kind != KIND_SNAPSHOT || !str_eq(given, content) || !str_eq(ns, ret->ns)))
        return false;
    const char *place = given ? SOURCE_ELSEWHERE : ns;
    return (disk || kind == KIND_VM_SNAPSHOT) &&
           str_to_i64(json_str(tree, F_LABEL_ATTEMPT), &attempt) &&
           find_source(name, ret, attempt, disk, ret->source) &&
           keep_text(ret->source_ns, sizeof ret->source_ns, place, strlen(place));
}

bool orphan_proves(enum worker_kind kind, const cJSON *tree, struct orphan_maker *ret)
{
    int64_t attempt = 0;
    char content[PVC_NAME_BUF];
    const char *name = str_or(json_str(tree, "metadata.name"), "");
    const char *uid = str_or(json_str(tree, "metadata.labels[" WUKONG_UID_LABEL "]"), "");
    *ret = (struct orphan_maker){0};
    if (!is_labelled_by_us(tree) || !read_maker(tree, ret) ||
        !keep_text(ret->uid, sizeof ret->uid, uid, strlen(uid)))
        return false;
    (void)str_to_i64(json_str(tree, F_LABEL_ATTEMPT), &attempt);
    name_content(uid, attempt, str_or(json_str(tree, F_LABEL_NAME_OF_DISK), ""), content);
    if (kind == KIND_CONTENT)
        return proves_content(tree, name, content, ret);
    if (kind == KIND_GROUP_CONTENT)
        return proves_parent(name, "groupsnapcontent-",
                             json_at(tree, "spec.volumeGroupSnapshotRef"), ret);
    return proves_snapshot(kind, tree, name, content, ret);
}

enum orphan_word orphan_word(const struct call *read, const char *name, const char *uid)
{
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_FREE char *quoted = xasprintf("\"%s\"", name);
    if (call_failed(read))
        return read->code == 404 && strstr(str_or(read->message, ""), quoted) ? ORPHAN_GONE
                                                                              : ORPHAN_UNKNOWN;
    if (!call_ok(read) || !read->body || json_read(read->body, read->body_len, &tree, NULL) < 0 ||
        !json_str(tree, "metadata.uid"))
        return ORPHAN_UNKNOWN;
    return str_eq(json_str(tree, "metadata.uid"), uid) ? ORPHAN_THERE : ORPHAN_GONE;
}

static unsigned how_much(const struct orphan_maker *m)
{
    bool place = *m->source_ns && !str_eq(m->source_ns, SOURCE_ELSEWHERE);
    return (*m->uid ? 1u : 0u) + (*m->source ? 1u : 0u) + (place ? 2u : 0u);
}

bool orphan_tells_more(const struct orphan_maker *a, const struct orphan_maker *b)
{
    return how_much(a) > how_much(b);
}

struct need {
    const struct clone_state *v;
    const struct cache_reader *caches;
    enum worker_kind kind;
    bool temporary; /* no disk hangs on any of the leftovers once it is filled */
    bool found;
};

/* What stands where a clone of that name would have made it. Others bear the label, too, and would
   keep the snapshots for ever. How many machines there were is not known any more. */
static bool note_bearer(void *arg, const struct kube_object *o)
{
    static const int64_t replicas[] = {1, LIMIT_REPLICAS};
    struct need *n = arg;
    const struct wukong *w = n->v->wukong;
    if (n->temporary && (n->kind == KIND_VM || str_eq(kube_object_field(o, F_PHASE), "Bound")))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(replicas); i++) {
        const struct ours_clone maker = {
            .uid = w->uid, .name = w->name, .ns = w->ns, .replicas = replicas[i]};
        n->found |= ours_made(&maker, n->kind, o);
    }
    return !n->found;
}

/* The content that a leftover stands for, or is. */
static const struct kube_object *content_of(const struct need *n, const struct leftover *left)
{
    const char *name = left->kind == KIND_CONTENT ? left->name : left->content;
    return name ? n->caches->get(n->caches->arg, KIND_CONTENT, "", name) : NULL;
}

/* A snapshot whose content the clone has not made its own. Machines that are there keep no such: a
   clone with reclaimPolicy Retain whose Wukong went by force would leave it for good. */
static bool is_temporary(const struct need *n, const struct leftover *left)
{
    const struct kube_object *content = content_of(n, left);
    return left->kind == KIND_SNAPSHOT && !left->member_of && content &&
           !str_eq(content->label, n->v->wukong->uid);
}

/* Of whatever clone or user: a claim that is not filled, or whose disk hangs on its parent. A class
   may retain, too, but only a linked clone has put its label on the content; its disks may be in
   another namespace, and the copy that led there gone. */
static bool note_restorer(void *arg, const struct kube_object *o)
{
    struct need *n = arg;
    const char *from = kube_object_field(o, F_DATA_SOURCE);
    bool bound = str_eq(kube_object_field(o, F_PHASE), "Bound");
    for (size_t i = 0; from && i < n->v->ours_count && !n->found; i++) {
        const struct leftover *left = &n->v->ours[i];
        const struct kube_object *content = content_of(n, left);
        bool alone = left->kind == KIND_CONTENT && content;
        bool parent = left->content_retains && content && str_eq(content->label, n->v->wukong->uid);
        const char *name = alone ? kube_object_field(content, F_SNAPSHOT_REF_NAME) : left->name;
        const char *ns = alone ? kube_object_field(content, F_SNAPSHOT_REF_NS) : left->ns;
        if ((left->kind != KIND_SNAPSHOT && !alone) || (bound ? !parent : !str_eq(ns, o->ns)))
            continue;
        CLEANUP_FREE char *quoted = xasprintf("\"%s\"", str_or(name, ""));
        n->found = strstr(from, quoted) != NULL;
    }
    return !n->found;
}

bool orphan_is_needed(const struct clone_state *v, const struct cache_reader *c)
{
    static const enum worker_kind kinds[] = {KIND_VM, KIND_PVC, KIND_DATA_VOLUME};
    struct need need = {.v = v, .caches = c, .temporary = true};
    for (size_t i = 0; i < v->ours_count; i++)
        need.temporary &= is_temporary(&need, &v->ours[i]);
    for (size_t i = 0; i < ARRAY_LEN(kinds) && !need.found; i++) {
        need.kind = kinds[i];
        c->each(c->arg, need.kind, v->wukong->uid, note_bearer, &need);
    }
    if (!need.found)
        c->each(c->arg, KIND_PVC, NULL, note_restorer, &need);
    return need.found;
}

static bool stays_out(const struct leftover *o)
{
    return o->kind == KIND_VM || o->kind == KIND_PVC || o->kind == KIND_DATA_VOLUME;
}

void observe_orphan(struct clone_state *v, const struct orphan_maker *of,
                    const struct cache_reader *c, struct call_log *log, struct now now,
                    bool (*proven)(const void *arg, const char *uid), const void *arg)
{
    struct wukong *w = arena_alloc(v->arena, sizeof *w);
    *w = (struct wukong){.name = of->name, .ns = of->ns, .uid = of->uid, .deleted_ms = now.wall_ms};
    v->now = now;
    v->call_log = log;
    v->wukong = w;
    /* As of a linked clone nothing that the cache says of a content is believed. */
    v->effective = (struct wukong_effective){.is_clone = true,
                                             .clone_type = CLONE_LINKED,
                                             .source_ns = of->source_ns,
                                             .source_name = of->source,
                                             .replicas = 1};
    v->record = (struct clone_record){
        .phase = PHASE_FAILED, .attempts = 1, .attempt.owned = true, .source_vmi = of->source};
    observe_namespaces(v, c);
    observe_ours(v, c);
    for (size_t i = 0; i < v->ours_count; i++)
        if (v->ours[i].kind == KIND_VM_SNAPSHOT && proven(arg, v->ours[i].uid))
            v->record.vm_snapshot_uid = v->ours[i].uid;
    size_t kept = 0;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        /* What KubeVirt and snapshot-controller made goes with what it was made for. */
        const char *by = o->member_of ? o->member_of : o->backup_of;
        bool known = o->unread ? v->record.vm_snapshot_uid != NULL : proven(arg, by ? by : o->uid);
        if (known && !stays_out(o))
            v->ours[kept++] = *o;
    }
    v->ours_count = kept;
}
