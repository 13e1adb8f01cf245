/* Claims of the target: PersistentVolumeClaims and CDI's DataVolumes, from a whitelist. A source's
   claim carries volumeName, bind annotations and data sources of its own, none of which may come
   along. */
#include "manifests/manifest.h"

#include <assert.h>

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "manifests/tree.h"

#define CONTENT_TYPE_ANNOTATION "cdi.kubevirt.io/storage.contentType"
/* CDI binds and fills the claim without a consumer, whatever its class says (CDI
   pkg/controller/common/util.go AnnImmediateBinding). */
#define BIND_NOW_ANNOTATION "cdi.kubevirt.io/storage.bind.immediate.requested"
#define SNAPSHOT_GROUP "snapshot.storage.k8s.io"

/* --- Size --- */

struct claim_size {
    struct quantity value;
    char text[QUANTITY_TEXT_MAX + 1];
};

static int parse_size(const char *text, const char *what, const char *disk, struct quantity *ret,
                      struct err *err)
{
    enum quantity_error e = quantity_parse(text, ret);
    if (e != QUANTITY_OK || ret->sign <= 0)
        return err_set(err, ERR_INVALID, "disk \"%.63s\": %s \"%.40s\" is no size: %s", disk, what,
                       text, e != QUANTITY_OK ? quantity_error_text(e) : "it must be positive");
    return 0;
}

/* Keeps the larger one, and its text as it was written. */
static void raise_size(struct claim_size *size, const struct quantity *value, const char *text)
{
    if (size->text[0] && quantity_compare(value, &size->value) <= 0)
        return;
    size->value = *value;
    (void)snprintf(size->text, sizeof size->text, "%s", text);
}

static int claim_size(const struct manifest_claim *c, struct claim_size *ret, struct err *err)
{
    struct claim_size size = {.text = ""};
    struct quantity asked, source, other;
    const char *request = json_str(c->source, "spec.resources.requests.storage");
    const char *capacity = json_str(c->source, "status.capacity.storage");
    if (request && parse_size(request, "the source claim's request", c->disk, &source, err) < 0)
        return -1;
    if (c->asked_size) {
        if (parse_size(c->asked_size, "size", c->disk, &asked, err) < 0)
            return -1;
        if (request && quantity_compare(&asked, &source) < 0)
            return err_set(err, ERR_REFUSED,
                           "spec.disks: size %.40s of disk \"%.63s\" is smaller than the source's "
                           "%.40s: a disk may grow, never shrink; ask for %.40s or more, or leave "
                           "size out",
                           c->asked_size, c->disk, request, request);
        raise_size(&size, &asked, c->asked_size);
    }
    if (request)
        raise_size(&size, &source, request);
    if (c->restore_bytes > 0) {
        char text[QUANTITY_PRINT_MAX];
        other = quantity_from_int(c->restore_bytes);
        quantity_print(c->restore_bytes, text);
        raise_size(&size, &other, text);
    }
    /* A CSI clone smaller than its source is refused by the provisioner, and a driver may have made
       the source larger than was asked for (external-provisioner pkg/controller/controller.go). */
    if (c->origin == MANIFEST_FROM_CLAIM && capacity) {
        if (parse_size(capacity, "the source claim's capacity", c->disk, &other, err) < 0)
            return -1;
        raise_size(&size, &other, capacity);
    }
    if (!size.text[0])
        return err_set(err, ERR_INVALID,
                       "disk \"%.63s\": neither the source claim nor its snapshot has a size",
                       c->disk);
    *ret = size;
    return 0;
}

/* --- Bodies --- */

static void check_claim(const struct manifest_claim *c)
{
    assert(c->wukong && c->wukong->uid);
    assert(c->name && c->disk);
    assert(c->source && c->origin_name);
}

/* The class in force; NULL: none was ever named, the cluster's default then. */
static const char *claim_class(const struct manifest_claim *c)
{
    return c->storage_class ? c->storage_class : json_str(c->source, "spec.storageClassName");
}

static int claim_modes(const struct manifest_claim *c, const cJSON **ret, struct err *err)
{
    const cJSON *modes = json_at(c->source, "spec.accessModes");
    if (!cJSON_IsArray(modes) || !modes->child)
        return err_set(err, ERR_INVALID, "disk \"%.63s\": the source's claim has no access modes",
                       c->disk);
    *ret = modes;
    return 0;
}

static void set_request(cJSON *spec, const struct claim_size *size)
{
    cJSON *requests = tree_object(tree_object(spec, "resources"), "requests");
    tree_set_string(requests, "storage", size->text);
}

int manifest_pvc_body(const struct manifest_claim *c, struct buf *out, struct err *err)
{
    struct claim_size size;
    const cJSON *modes = NULL;
    cJSON *metadata;
    check_claim(c);
    if (claim_size(c, &size, err) < 0 || claim_modes(c, &modes, err) < 0)
        return -1;
    CLEANUP_JSON cJSON *pvc =
        tree_kubernetes("v1", "PersistentVolumeClaim", c->name, c->wukong->ns, &metadata);
    tree_target_marks(metadata, c->wukong);
    tree_our_labels(metadata, c->wukong, c->index, c->disk, c->wukong->ns);
    /* Until its machine owns it. */
    tree_our_owner(metadata, c->wukong, false);
    CLEANUP_FREE char *type =
        json_text(json_at(c->source, "metadata.annotations[" CONTENT_TYPE_ANNOTATION "]"));
    if (type)
        tree_set_string(tree_object(metadata, "annotations"), CONTENT_TYPE_ANNOTATION, type);

    cJSON *spec = tree_object(pvc, "spec");
    tree_set(spec, "accessModes", tree_dup(modes));
    set_request(spec, &size);
    tree_set_string(spec, "storageClassName", claim_class(c));
    tree_set_string(spec, "volumeMode", json_str(c->source, "spec.volumeMode"));
    cJSON *origin = tree_object(spec, "dataSource");
    if (c->origin == MANIFEST_FROM_SNAPSHOT) {
        tree_set_string(origin, "apiGroup", SNAPSHOT_GROUP);
        tree_set_string(origin, "kind", "VolumeSnapshot");
    } else {
        tree_set_string(origin, "kind", "PersistentVolumeClaim");
    }
    tree_set_string(origin, "name", c->origin_name);
    return tree_print(pvc, out, err);
}

int manifest_datavolume_body(const struct manifest_claim *c, struct buf *out, struct err *err)
{
    struct claim_size size;
    const cJSON *modes = NULL;
    cJSON *metadata;
    check_claim(c);
    assert(c->origin_ns);
    if (claim_size(c, &size, err) < 0 || claim_modes(c, &modes, err) < 0)
        return -1;
    CLEANUP_JSON cJSON *dv =
        tree_kubernetes("cdi.kubevirt.io/v1beta1", "DataVolume", c->name, c->wukong->ns, &metadata);
    tree_target_marks(metadata, c->wukong);
    tree_our_labels(metadata, c->wukong, c->index, c->disk, c->wukong->ns);
    if (c->bind_now)
        tree_set_string(tree_object(metadata, "annotations"), BIND_NOW_ANNOTATION, "true");
    /* Until its machine owns it. */
    tree_our_owner(metadata, c->wukong, false);
    cJSON *spec = tree_object(dv, "spec");
    const char *kind = c->origin == MANIFEST_FROM_SNAPSHOT ? "snapshot" : "pvc";
    cJSON *origin = tree_object(tree_object(spec, "source"), kind);
    tree_set_string(origin, "namespace", c->origin_ns);
    tree_set_string(origin, "name", c->origin_name);
    tree_set_string(spec, "contentType",
                    json_str(c->source, "metadata.annotations[" CONTENT_TYPE_ANNOTATION "]"));

    const char *old_class = json_str(c->source, "spec.storageClassName");
    bool same_class = !c->storage_class || str_eq(c->storage_class, old_class);
    /* What CDI makes of "storage" it makes 6 % larger for a file system (GetRequiredSpace), each
       clone of a clone again, and so it needs expansion, a Pod to expand in, or copies byte by
       byte. The source's claim has that room already: "pvc" is taken as it is, but has one access
       mode only (CDI pkg/controller/datavolume/util.go,
       pkg/apiserver/webhooks/datavolume-validate.go). */
    bool as_is = same_class && cJSON_GetArraySize(modes) == 1;
    cJSON *storage = tree_object(spec, as_is ? "pvc" : "storage");
    /* Another class may not know the source's modes: CDI takes its StorageProfile's. It has none of
       a driver that it does not know, and then makes no claim without modes (CDI
       pkg/controller/datavolume/util.go, "no accessMode specified in StorageProfile"). */
    if (!c->cdi_knows_modes || same_class)
        tree_set(storage, "accessModes", tree_dup(modes));
    set_request(storage, &size);
    tree_set_string(storage, "storageClassName", claim_class(c));
    tree_set_string(storage, "volumeMode", json_str(c->source, "spec.volumeMode"));
    return tree_print(dv, out, err);
}

/* --- What was answered --- */

static bool is_ours(const cJSON *object, const char *wukong_uid)
{
    return wukong_uid &&
           str_eq(json_str(object, "metadata.labels[" WUKONG_UID_LABEL "]"), wukong_uid);
}

/* An absent core group and "" are one. */
static bool points_at(const cJSON *ref, const struct manifest_claim *c)
{
    bool snapshot = c->origin == MANIFEST_FROM_SNAPSHOT;
    return str_eq(json_str(ref, "kind"), snapshot ? "VolumeSnapshot" : "PersistentVolumeClaim") &&
           str_eq(json_str(ref, "name"), c->origin_name) &&
           str_eq(str_or(json_str(ref, "apiGroup"), ""), snapshot ? SNAPSHOT_GROUP : "") &&
           str_empty(json_str(ref, "namespace"));
}

int manifest_pvc_origin_matches(const cJSON *reply, const struct manifest_claim *c, struct err *err)
{
    const cJSON *source = json_at(reply, "spec.dataSource");
    const cJSON *ref = json_at(reply, "spec.dataSourceRef");
    if (!cJSON_IsObject(source) && !cJSON_IsObject(ref))
        return err_set(err, ERR_REFUSED,
                       "claim \"%.100s\": the API server dropped its data source, the volume would "
                       "be empty: something in the cluster changes claims as they are created",
                       c->name);
    if ((cJSON_IsObject(source) && !points_at(source, c)) ||
        (cJSON_IsObject(ref) && !points_at(ref, c)))
        return err_set(err, ERR_REFUSED,
                       "claim \"%.100s\" has another data source than \"%.100s\": something in the "
                       "cluster changes claims as they are created",
                       c->name, c->origin_name);
    return 0;
}

int manifest_pvc_matches(const cJSON *reply, const struct manifest_claim *c, struct err *err)
{
    struct claim_size size;
    struct quantity got;
    check_claim(c);
    if (!is_ours(reply, c->wukong->uid))
        return err_set(
            err, ERR_EXISTS,
            "claim \"%.100s\" does not bear this clone's label: it is somebody else's, or "
            "something in the cluster changes claims as they are created",
            c->name);
    if (manifest_pvc_origin_matches(reply, c, err) < 0 || claim_size(c, &size, err) < 0)
        return -1;
    const char *want_mode = str_or(json_str(c->source, "spec.volumeMode"), "Filesystem");
    const char *mode = str_or(json_str(reply, "spec.volumeMode"), "Filesystem");
    if (!str_eq(mode, want_mode))
        return err_set(err, ERR_REFUSED, "claim \"%.100s\" has volumeMode %.20s instead of %.20s",
                       c->name, mode, want_mode);
    const char *want_class = claim_class(c), *class = json_str(reply, "spec.storageClassName");
    if (want_class && !str_eq(class, want_class))
        return err_set(err, ERR_REFUSED,
                       "claim \"%.100s\" has storageClassName \"%.63s\" instead of \"%.63s\"",
                       c->name, str_or(class, ""), want_class);
    /* Larger is no harm: it may have been expanded since. */
    const char *request = json_str(reply, "spec.resources.requests.storage");
    if (!request || quantity_parse(request, &got) != QUANTITY_OK ||
        quantity_compare(&got, &size.value) < 0)
        return err_set(err, ERR_REFUSED, "claim \"%.100s\" asks for %.40s instead of %.40s",
                       c->name, str_or(request, "nothing"), size.text);
    const cJSON *modes = NULL;
    if (claim_modes(c, &modes, err) < 0)
        return -1;
    if (!json_equal(modes, json_at(reply, "spec.accessModes")))
        return err_set(err, ERR_REFUSED,
                       "claim \"%.100s\" has other accessModes than its source's: something in the "
                       "cluster changes claims as they are created",
                       c->name);
    return 0;
}

int manifest_datavolume_matches(const cJSON *reply, const struct manifest_claim *c, struct err *err)
{
    const cJSON *source = json_at(reply, "spec.source");
    const cJSON *origin =
        json_get(source, c->origin == MANIFEST_FROM_SNAPSHOT ? "snapshot" : "pvc");
    assert(c->name && c->origin_name && c->origin_ns);
    if (!str_eq(json_str(origin, "name"), c->origin_name) ||
        !str_eq(json_str(origin, "namespace"), c->origin_ns))
        return err_set(err, ERR_REFUSED,
                       "DataVolume \"%.100s\" has another source than \"%.100s\": something in the "
                       "cluster changes DataVolumes as they are created",
                       c->name, c->origin_name);
    return 0;
}
