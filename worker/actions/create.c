#include "actions/create.h"

#include <assert.h>
#include <stdarg.h>

#include "actions/event.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"
#include "manifests/manifest.h"
#include "observe/capture.h"
#include "observe/queries.h"
#include "wukong/api/resources.h"

/* A body that cannot be built is a bug or a source that changed under us: the create is left out
   and the step tells why (the record keeps the message through REASON_WAITING). */
static const char *keep(const struct clone_state *v, struct buf *body)
{
    return buf_ok(body) && body->len ? arena_strndup(v->arena, body->data, body->len) : NULL;
}

/* Bodies are large and may be many: those of a hundred machines are made as they are sent, a few
   in each look; their answers bring the next one. */
#define BODIES_ROOM (8u * MIB)
#define MORE_BODIES_MS 1000

/* Whether a request of that key would be sent now, if it were made. */
static bool may_make(const struct clone_state *v, struct decision *d, struct call_key key)
{
    const struct call *c = call_log_find(v->call_log, key);
    if (c && (c->state == CALL_FLYING || (call_failed(c) && v->now.wall_ms < c->retry_ms)))
        return false;
    if (v->arena->used < BODIES_ROOM)
        return true;
    decision_again(d, v->now.wall_ms + MORE_BODIES_MS);
    return false;
}

static const char *text_of(const struct buf *body)
{
    return buf_ok(body) && body->len ? body->data : NULL;
}

const char *create_add_labels(const struct clone_state *v, const char *body, size_t disk,
                              bool with_disk)
{
    CLEANUP_JSON cJSON *tree = NULL;
    if (!body || json_read(body, strlen(body), &tree, NULL) < 0)
        return NULL;
    cJSON *meta = cJSON_GetObjectItemCaseSensitive(tree, "metadata");
    cJSON *labels = cJSON_GetObjectItemCaseSensitive(meta, "labels");
    if (!labels)
        labels = cJSON_AddObjectToObject(meta, "labels");
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)clone_attempt(v));
    cJSON_DeleteItemFromObjectCaseSensitive(labels, LABEL_ATTEMPT);
    (void)cJSON_AddStringToObject(labels, LABEL_ATTEMPT, text);
    if (with_disk) {
        (void)snprintf(text, sizeof text, "%zu", disk);
        cJSON_DeleteItemFromObjectCaseSensitive(labels, LABEL_DISK);
        (void)cJSON_AddStringToObject(labels, LABEL_DISK, text);
    }
    CLEANUP_FREE char *printed = json_print(tree);
    return arena_strdup(v->arena, printed);
}

void create_tell(const struct clone_state *v, struct decision *d, const struct err *err,
                 const char *name)
{
    create_event_about(v, d, true, "CannotBuild", name, "%s: %s", name, err->message);
    if (d->step_speaks)
        d->conditions[d->step_condition] =
            (struct condition){CONDITION_FALSE, REASON_PREFLIGHT_REFUSED,
                               arena_printf(v->arena, "%s: %s", name, err->message)};
}

/* --- snapshots --- */

static void send_snapshot(const struct clone_state *v, struct decision *d, size_t disk,
                          enum intent_verb verb, struct call_key key)
{
    CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
    const struct disk_plan *p = v->disks[disk].plan;
    const struct snapshot_state *s = &v->disks[disk].snapshot;
    struct err err = {0};
    struct manifest_snapshot t = {
        .wukong = v->wukong,
        .name = s->name,
        .ns = s->ns,
        .disk = p->name,
        .claim = p->claim,
        .snapshot_class = p->snapshot_class,
        .source_spec = disk == 0 ? v->capture.tree : NULL,
    };
    if (manifest_snapshot_body(&t, &out, NULL, &err) < 0) {
        create_tell(v, d, &err, s->name);
        return;
    }
    struct intent *i =
        intents_add(&d->intents, verb, &worker_kinds[KIND_SNAPSHOT], s->ns, s->name, key);
    i->body = create_add_labels(v, text_of(&out), disk, true);
}

void create_snapshot(const struct clone_state *v, struct decision *d, size_t disk)
{
    send_snapshot(v, d, disk, INTENT_CREATE,
                  call_key_named(CALL_CREATE_SNAPSHOT, v->disks[disk].snapshot.name));
}

void create_dry_run_snapshot(const struct clone_state *v, struct decision *d, size_t disk)
{
    send_snapshot(v, d, disk, INTENT_DRY_RUN,
                  clone_dry_key(v, CALL_DRY_SNAPSHOT, v->disks[disk].snapshot.name));
}

/* What the copy needs of the source's content, as the cache has it. */
static cJSON *content_facts(const struct snapshot_state *s)
{
    CLEANUP_BUF struct buf text = BUF_INIT(8192);
    cJSON *tree = NULL;
    struct json_writer w = json_writer(&text);
    json_object(&w, NULL);
    json_object(&w, "metadata");
    json_string(&w, "name", s->content);
    json_end(&w);
    json_object(&w, "spec");
    json_string(&w, "driver", s->driver);
    json_string(&w, "sourceVolumeMode", s->source_mode);
    json_string(&w, "volumeSnapshotClassName", s->content_class);
    json_end(&w);
    json_object(&w, "status");
    json_string(&w, "snapshotHandle", s->handle);
    json_end(&w);
    json_end(&w);
    return json_read(text.data, text.len, &tree, NULL) < 0 ? NULL : tree;
}

static void send_copy(const struct clone_state *v, struct decision *d, size_t disk, int kind)
{
    CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
    CLEANUP_JSON cJSON *content = content_facts(&v->disks[disk].snapshot);
    const struct copy_state *c = &v->disks[disk].copy;
    struct err err = {0};
    bool is_content = kind == KIND_CONTENT;
    const char *name = is_content ? c->content_name : c->snapshot.name;
    enum call_kind made = is_content ? CALL_CREATE_CONTENT : CALL_CREATE_SNAPSHOT_COPY;
    struct manifest_content_copy t = {.wukong = v->wukong,
                                      .content_name = c->content_name,
                                      .snapshot_name = c->snapshot.name,
                                      .disk = v->disks[disk].plan->name,
                                      .content = content};
    if ((is_content ? manifest_content_copy_body(&t, &out, &err)
                    : manifest_snapshot_of_content_body(&t, &out, &err)) < 0) {
        create_tell(v, d, &err, name);
        return;
    }
    struct intent *i =
        intents_add(&d->intents, INTENT_CREATE, &worker_kinds[kind],
                    is_content ? NULL : v->wukong->ns, name, call_key_named(made, name));
    i->body = create_add_labels(v, text_of(&out), disk, false);
}

void create_content_copy(const struct clone_state *v, struct decision *d, size_t disk)
{
    send_copy(v, d, disk, KIND_CONTENT);
}

void create_snapshot_copy(const struct clone_state *v, struct decision *d, size_t disk)
{
    send_copy(v, d, disk, KIND_SNAPSHOT);
}

/* KubeVirt's snapshot carries the capture as our own first one does, unless it is too large. */
static const char *add_capture(const struct clone_state *v, const char *body)
{
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_FREE char *text = v->capture.tree ? json_print(v->capture.tree) : NULL;
    if (!body || !text || strlen(text) > MANIFEST_SPEC_ANNOTATION_MAX ||
        json_read(body, strlen(body), &tree, NULL) < 0)
        return body;
    cJSON *meta = cJSON_GetObjectItemCaseSensitive(tree, "metadata");
    cJSON *notes = cJSON_GetObjectItemCaseSensitive(meta, "annotations");
    if (!notes)
        notes = cJSON_AddObjectToObject(meta, "annotations");
    (void)cJSON_AddStringToObject(notes, MANIFEST_SPEC_ANNOTATION, text);
    CLEANUP_FREE char *printed = json_print(tree);
    return arena_strdup(v->arena, printed);
}

void create_vm_snapshot(const struct clone_state *v, struct decision *d)
{
    CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
    struct err err = {0};
    const char *name = v->vm_snapshot.name, *ns = v->vm_snapshot.ns;
    int64_t deadline_s = v->unfreeze_timeout_ms / 1000;
    if (deadline_s < VM_SNAPSHOT_DEADLINE_S)
        deadline_s = VM_SNAPSHOT_DEADLINE_S;
    if (manifest_vmsnapshot_body(v->wukong, name, ns, v->source.vm_name, deadline_s, &out, &err) <
        0) {
        create_tell(v, d, &err, name);
        return;
    }
    struct intent *i = intents_add(&d->intents, INTENT_CREATE, &worker_kinds[KIND_VM_SNAPSHOT], ns,
                                   name, call_key_named(CALL_CREATE_VM_SNAPSHOT, name));
    i->body = add_capture(v, create_add_labels(v, text_of(&out), 0, false));
}

/* --- claims --- */

static bool by_cdi(const struct disk_state *d)
{
    return d->plan->method == DISK_CDI_CLONE || d->plan->method == DISK_CDI_SNAPSHOT;
}

/* The data source of a trial, while nobody knows what the snapshot will be called. No API server
   takes it for the name of one that is there: nothing is made by that name. */
#define NOT_YET_MADE "not-yet-made"

static struct manifest_claim describe_claim(const struct clone_state *v,
                                            const struct target_state *t, size_t disk)
{
    const struct disk_plan *p = v->disks[disk].plan;
    const struct snapshot_state *s = &v->disks[disk].snapshot;
    bool from_claim = p->method == DISK_CSI_CLONE || p->method == DISK_CDI_CLONE;
    bool larger = p->bytes && p->bytes > p->source_bytes;
    /* The snapshot that was handed to the target's namespace has a name of its own: the source's
       may be KubeVirt's, or another Wukong's that shares it. */
    const char *snapshot =
        p->method == DISK_HANDLE_COPY ? v->disks[disk].copy.snapshot.name : s->name;
    return (struct manifest_claim){
        .wukong = v->wukong,
        .index = t->index,
        .name = t->claims[disk].name,
        .disk = p->name,
        .source = capture_claim(v, disk),
        .asked_size = larger ? arena_printf(v->arena, "%lld", (long long)p->bytes) : NULL,
        .restore_bytes = s->restore_bytes,
        .storage_class = p->storage_class,
        .bind_now = p->method == DISK_CDI_CLONE && !v->effective.auto_start,
        .cdi_knows_modes = facts_knows_modes(&v->classes, p->storage_class),
        .origin = from_claim ? MANIFEST_FROM_CLAIM : MANIFEST_FROM_SNAPSHOT,
        /* KubeVirt names its VolumeSnapshots when it makes them; a dry run needs any name. */
        .origin_name = from_claim ? p->claim : str_or(snapshot, NOT_YET_MADE),
        .origin_ns = v->effective.source_ns,
    };
}

static int claim_body(const struct clone_state *v, const struct target_state *t, size_t disk,
                      struct buf *out, struct err *err)
{
    struct manifest_claim c = describe_claim(v, t, disk);
    return by_cdi(&v->disks[disk]) ? manifest_datavolume_body(&c, out, err)
                                   : manifest_pvc_body(&c, out, err);
}

static const char *claim_differs(const struct clone_state *v, const struct target_state *t,
                                 size_t disk, const cJSON *stored, bool trial)
{
    struct err err = {0};
    struct manifest_claim c = describe_claim(v, t, disk);
    const char *asked = json_str(stored, "spec.dataSource.name");
    int status = 0;
    /* It was tried before the snapshot that it names now was made, by somebody else: a member of a
       group, or KubeVirt's. */
    if (trial && str_eq(asked, NOT_YET_MADE))
        c.origin_name = NOT_YET_MADE;
    if (!stored)
        return NULL;
    if (by_cdi(&v->disks[disk]))
        status = manifest_datavolume_matches(stored, &c, &err);
    else
        /* Without the capture it is known what the claim is to hang on, and no more. */
        status = c.source ? manifest_pvc_matches(stored, &c, &err)
                          : manifest_pvc_origin_matches(stored, &c, &err);
    return status < 0 ? arena_strdup(v->arena, err.message) : NULL;
}

static void put_field(cJSON *spec, const char *name, const struct kube_object *o, const char *path)
{
    cJSON *tree = NULL;
    const char *text = kube_object_field(o, path);
    if (!text)
        return;
    if ((*text == '{' || *text == '[') && json_read(text, strlen(text), &tree, NULL) == 0)
        (void)cJSON_AddItemToObject(spec, name, tree);
    else
        (void)cJSON_AddStringToObject(spec, name, text);
}

/* What the cache keeps of it, in the shape in which the API server shows it. */
static cJSON *cached_claim(const struct kube_object *o)
{
    cJSON *tree = cJSON_CreateObject();
    cJSON *labels = cJSON_AddObjectToObject(cJSON_AddObjectToObject(tree, "metadata"), "labels");
    cJSON *spec = cJSON_AddObjectToObject(tree, "spec");
    if (o->label)
        (void)cJSON_AddStringToObject(labels, WUKONG_UID_LABEL, o->label);
    put_field(spec, "source", o, F_DV_SOURCE);
    put_field(spec, "dataSource", o, F_DATA_SOURCE);
    put_field(spec, "dataSourceRef", o, F_DATA_SOURCE_REF);
    put_field(spec, "volumeMode", o, F_VOLUME_MODE);
    put_field(spec, "accessModes", o, F_ACCESS_MODES);
    put_field(spec, "storageClassName", o, F_STORAGE_CLASS);
    cJSON *requests =
        cJSON_AddObjectToObject(cJSON_AddObjectToObject(spec, "resources"), "requests");
    put_field(requests, "storage", o, F_REQUEST);
    return tree;
}

const char *create_claim_changed(const struct clone_state *v, const struct target_state *t,
                                 size_t disk)
{
    const struct claim_state *c = &t->claims[disk];
    bool cdi = by_cdi(&v->disks[disk]);
    /* What it is made from does not change any more; a DataVolume is seen before its claim, or
       after. What KubeVirt's snapshot was called is not known once it is gone. */
    bool named = !clone_disk_has_snapshot(&v->disks[disk]) || v->disks[disk].snapshot.name;
    if (!c->exists || !c->object || c->owned || c->data_volume != cdi || !named)
        return NULL;
    CLEANUP_JSON cJSON *stored = cached_claim(c->object);
    return claim_differs(v, t, disk, stored, false);
}

static cJSON *answered_object(const struct call *c)
{
    cJSON *tree = NULL;
    return call_ok(c) && c->body && json_read(c->body, c->body_len, &tree, NULL) == 0 ? tree : NULL;
}

const char *create_dry_claim_changed(const struct clone_state *v, const struct target_state *t,
                                     size_t disk)
{
    CLEANUP_JSON cJSON *stored = answered_object(
        call_log_find(v->call_log, clone_dry_key(v, CALL_DRY_CLAIM, t->claims[disk].name)));
    return claim_differs(v, t, disk, stored, true);
}

static void send_claim(const struct clone_state *v, struct decision *d,
                       const struct target_state *t, size_t disk, enum intent_verb verb,
                       struct call_key key)
{
    CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
    struct err err = {0};
    int kind = by_cdi(&v->disks[disk]) ? KIND_DATA_VOLUME : KIND_PVC;
    const char *name = t->claims[disk].name;
    if (!may_make(v, d, key))
        return;
    if (claim_body(v, t, disk, &out, &err) < 0) {
        create_tell(v, d, &err, name);
        return;
    }
    struct intent *i =
        intents_add(&d->intents, verb, &worker_kinds[kind], v->wukong->ns, name, key);
    i->body = create_add_labels(v, text_of(&out), disk, true);
    i->keeps_answer = verb == INTENT_DRY_RUN;
}

void create_claim(const struct clone_state *v, struct decision *d, const struct target_state *t,
                  size_t disk)
{
    send_claim(v, d, t, disk, INTENT_CREATE,
               call_key_named(CALL_CREATE_CLAIM, t->claims[disk].name));
}

void create_dry_run_claim(const struct clone_state *v, struct decision *d,
                          const struct target_state *t, size_t disk)
{
    send_claim(v, d, t, disk, INTENT_DRY_RUN,
               clone_dry_key(v, CALL_DRY_CLAIM, t->claims[disk].name));
}

void create_own_claim(const struct clone_state *v, struct decision *d, const struct target_state *t,
                      size_t disk)
{
    const struct claim_state *c = &t->claims[disk];
    CLEANUP_BUF struct buf out = BUF_INIT(4096);
    struct json_writer w = json_writer(&out);
    json_object(&w, NULL);
    json_object(&w, "metadata");
    /* The API server refuses the patch when the claim is another one by now. */
    json_string(&w, "uid", c->owner_target);
    json_array(&w, "ownerReferences");
    json_object(&w, NULL);
    json_string(&w, "apiVersion", "kubevirt.io/v1");
    json_string(&w, "kind", "VirtualMachine");
    json_string(&w, "name", t->vm.name);
    json_string(&w, "uid", t->vm.uid);
    json_boolean(&w, "blockOwnerDeletion", false);
    json_boolean(&w, "controller", false);
    json_end(&w);
    json_end(&w);
    json_end(&w);
    json_end(&w);
    int kind = c->data_volume ? KIND_DATA_VOLUME : KIND_PVC;
    struct intent *i = intents_add(&d->intents, INTENT_PATCH, &worker_kinds[kind], v->wukong->ns,
                                   c->name, call_key_named(CALL_OWN_CLAIM, c->owner_target));
    i->body = keep(v, &out);
}

/* --- the VirtualMachine --- */

/* An Event's message holds 1024 bytes. */
#define TOLD_MAX 900

static void tell_all(const struct clone_state *v, struct decision *d, const char *what,
                     const char *const *sentences, size_t count)
{
    CLEANUP_BUF struct buf text = BUF_INIT(8192);
    size_t i = 0;
    for (; i < count && (!i || text.len + strlen(sentences[i]) < TOLD_MAX); i++)
        buf_addf(&text, "%s%s", i ? "; " : "", sentences[i]);
    if (i < count)
        buf_addf(&text, "; and %zu more, which kubectl wukong plan shows", count - i);
    if (text.len)
        create_event(v, d, true, what, "%s", text.data);
}

/* What the user should know of the new machine, in one Event each; Secrets are named, never read.
 */
static void tell_warnings(const struct clone_state *v, struct decision *d,
                          const struct manifest_vm *vm)
{
    CLEANUP_BUF struct buf text = BUF_INIT(8192);
    tell_all(v, d, "CloneWarnings", vm->warnings, vm->warning_count);
    tell_all(v, d, "CloneDiffers", vm->differences, vm->difference_count);
    for (size_t i = 0; v->effective.cross_namespace && i < vm->need_count; i++)
        if (vm->needs[i].ns)
            buf_addf(&text, "%s%s %s/%s%s", text.len ? ", " : "", vm->needs[i].kind,
                     vm->needs[i].ns, vm->needs[i].name,
                     vm->needs[i].optional ? " (optional)" : "");
    if (text.len)
        create_event(v, d, true, "CloneNeeds", "must exist for the new machine to start: %s",
                     text.data);
}

static void list_disks(const struct clone_state *v, const struct target_state *t,
                       struct manifest_disk disks[LIMIT_DISKS])
{
    assert(v->disk_count <= LIMIT_DISKS); /* load() in capture.c takes no more */
    for (size_t i = 0; i < v->disk_count; i++)
        disks[i] = (struct manifest_disk){v->disks[i].plan->volume, t->claims[i].name,
                                          v->disks[i].plan->boot};
}

const char *create_vm_changed(const struct clone_state *v, const struct target_state *t,
                              const struct call *answer)
{
    struct manifest_disk disks[LIMIT_DISKS];
    struct err err = {0};
    CLEANUP_JSON cJSON *stored = answered_object(answer);
    list_disks(v, t, disks);
    if (!stored || (manifest_vm_matches(stored, disks, v->disk_count, &err) == 0 &&
                    manifest_links_match(stored, &v->wukong->spec.target, &err) == 0 &&
                    manifest_overrides_match(stored, &v->wukong->spec.target, &err) == 0))
        return NULL;
    return arena_strdup(v->arena, err.message);
}

int create_vm_body(const struct clone_state *v, const struct target_state *t,
                   struct manifest_vm *vm, struct err *err)
{
    struct manifest_disk disks[LIMIT_DISKS];
    list_disks(v, t, disks);
    struct manifest_request r = {.wukong = v->wukong,
                                 .effective = &v->effective,
                                 .index = t->index,
                                 .disks = disks,
                                 .disk_count = v->disk_count};
    return manifest_vm_body(capture_source(v), &r, vm, err);
}

static void send_vm(const struct clone_state *v, struct decision *d, const struct target_state *t,
                    enum intent_verb verb, struct call_key key)
{
    struct err err = {0};
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    if (!may_make(v, d, key))
        return;
    if (create_vm_body(v, t, &vm, &err) < 0) {
        create_tell(v, d, &err, t->vm.name);
        return;
    }
    /* Not of one that is only tried: a thousand may wait, each with two Events. */
    if (verb == INTENT_CREATE)
        tell_warnings(v, d, &vm);
    struct intent *i =
        intents_add(&d->intents, verb, &worker_kinds[KIND_VM], v->wukong->ns, t->vm.name, key);
    i->body = create_add_labels(v, text_of(&vm.body), 0, false);
    i->keeps_answer = true;
}

void create_vm(const struct clone_state *v, struct decision *d, const struct target_state *t)
{
    send_vm(v, d, t, INTENT_CREATE, call_key_named(CALL_CREATE_VM, t->vm.name));
}

void create_dry_run_vm(const struct clone_state *v, struct decision *d,
                       const struct target_state *t)
{
    send_vm(v, d, t, INTENT_DRY_RUN, clone_dry_key(v, CALL_DRY_VM, t->vm.name));
}

void create_own_vm(const struct clone_state *v, struct decision *d, const struct target_state *t,
                   bool owned)
{
    CLEANUP_BUF struct buf out = BUF_INIT(4096);
    struct json_writer w = json_writer(&out);
    json_object(&w, NULL);
    json_object(&w, "metadata");
    json_string(&w, "uid", t->vm.uid);
    json_array(&w, "ownerReferences");
    if (owned) {
        json_object(&w, NULL);
        json_string(&w, "apiVersion", WUKONG_API_VERSION);
        json_string(&w, "kind", WUKONG_KIND);
        json_string(&w, "name", v->wukong->name);
        json_string(&w, "uid", v->wukong->uid);
        json_boolean(&w, "controller", true);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    json_end(&w);
    struct intent *i =
        intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_VM], v->wukong->ns, t->vm.name,
                    call_key_named(owned ? CALL_OWN_VM : CALL_DISOWN_VM, t->vm.uid));
    i->body = keep(v, &out);
}

/* --- Events --- */
