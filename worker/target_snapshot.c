/* Snapshots: of the source's claims, their copies for another namespace, and KubeVirt's own. */
#include "worker/target.h"

#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "worker/target_tree.h"

#define SNAPSHOT_API "snapshot.storage.k8s.io/v1"

int target_snapshot_body(const struct target_snapshot *s, struct buf *out, bool *ret_spec_kept,
                         struct err *err)
{
    cJSON *metadata;
    bool kept = false;
    assert(s->name && s->ns);
    assert(s->claim);
    CLEANUP_JSON cJSON *vs =
        tree_kubernetes(SNAPSHOT_API, "VolumeSnapshot", s->name, s->ns, &metadata);
    tree_our_labels(metadata, s->wukong, -1, s->disk, s->ns);
    if (s->source_spec) {
        CLEANUP_FREE char *text = json_print(s->source_spec);
        kept = strlen(text) <= TARGET_SPEC_ANNOTATION_MAX;
        if (kept)
            tree_set_string(tree_object(metadata, "annotations"), TARGET_SPEC_ANNOTATION, text);
    }
    cJSON *spec = tree_object(vs, "spec");
    tree_set_string(tree_object(spec, "source"), "persistentVolumeClaimName", s->claim);
    tree_set_string(spec, "volumeSnapshotClassName", s->snapshot_class);
    if (tree_print(vs, out, err) < 0)
        return -1;
    if (ret_spec_kept)
        *ret_spec_kept = kept;
    return 0;
}

int target_snapshot_spec(const cJSON *snapshot, cJSON **ret, struct err *err)
{
    const char *text = json_str(snapshot, "metadata.annotations[" TARGET_SPEC_ANNOTATION "]");
    const char *name = str_or(json_str(snapshot, "metadata.name"), "?");
    if (!text)
        return err_set(err, ERR_NOT_FOUND, "VolumeSnapshot \"%.63s\" carries no source spec", name);
    CLEANUP_JSON cJSON *tree = NULL;
    if (json_read(text, strlen(text), &tree, err) < 0)
        return err_wrap(err, "source spec of VolumeSnapshot \"%.63s\"", name);
    if (!cJSON_IsObject(json_at(tree, "spec.template.spec.domain")))
        return err_set(err, ERR_INVALID,
                       "the source spec of VolumeSnapshot \"%.63s\" has no "
                       "spec.template.spec.domain",
                       name);
    if (target_source_check(tree, err) < 0)
        return -1;
    *ret = TAKE(tree);
    return 0;
}

/* --- The handle copy --- */

/* The handle is in status of a content that was made from a claim, in spec of one that was made
   from a handle. */
static const char *handle_of(const cJSON *content)
{
    return str_or(json_str(content, "status.snapshotHandle"),
                  json_str(content, "spec.source.snapshotHandle"));
}

static bool dying(const cJSON *object)
{
    return json_at(object, "metadata.deletionTimestamp") != NULL;
}

static int check_content(const cJSON *content, struct err *err)
{
    const char *name = str_or(json_str(content, "metadata.name"), "?");
    if (dying(content))
        return err_set(err, ERR_REFUSED,
                       "VolumeSnapshotContent \"%.100s\" is being deleted: the snapshot cannot be "
                       "handed to another namespace",
                       name);
    if (str_empty(handle_of(content)))
        return err_set(err, ERR_NOT_FOUND,
                       "VolumeSnapshotContent \"%.100s\" has no snapshot handle yet", name);
    if (str_empty(json_str(content, "spec.driver")))
        return err_set(err, ERR_INVALID, "VolumeSnapshotContent \"%.100s\" names no driver", name);
    return 0;
}

int target_content_copy_body(const struct target_content_copy *c, struct buf *out, struct err *err)
{
    cJSON *metadata;
    assert(c->content_name && c->snapshot_name);
    if (check_content(c->content, err) < 0)
        return -1;
    CLEANUP_JSON cJSON *vsc =
        tree_kubernetes(SNAPSHOT_API, "VolumeSnapshotContent", c->content_name, NULL, &metadata);
    tree_our_labels(metadata, c->wukong, -1, c->disk, NULL);
    cJSON *spec = tree_object(vsc, "spec");
    /* Two contents share one physical snapshot; Delete here would take it from the first. */
    tree_set_string(spec, "deletionPolicy", "Retain");
    tree_set_string(spec, "driver", json_str(c->content, "spec.driver"));
    tree_set_string(tree_object(spec, "source"), "snapshotHandle", handle_of(c->content));
    tree_set_string(spec, "sourceVolumeMode", json_str(c->content, "spec.sourceVolumeMode"));
    tree_set_string(spec, "volumeSnapshotClassName",
                    json_str(c->content, "spec.volumeSnapshotClassName"));
    cJSON *ref = tree_object(spec, "volumeSnapshotRef");
    tree_set_string(ref, "apiVersion", SNAPSHOT_API);
    tree_set_string(ref, "kind", "VolumeSnapshot");
    tree_set_string(ref, "name", c->snapshot_name);
    tree_set_string(ref, "namespace", c->wukong->ns);
    return tree_print(vsc, out, err);
}

int target_snapshot_of_content_body(const struct target_content_copy *c, struct buf *out,
                                    struct err *err)
{
    cJSON *metadata;
    assert(c->content_name && c->snapshot_name);
    CLEANUP_JSON cJSON *vs =
        tree_kubernetes(SNAPSHOT_API, "VolumeSnapshot", c->snapshot_name, c->wukong->ns, &metadata);
    tree_our_labels(metadata, c->wukong, -1, c->disk, c->wukong->ns);
    cJSON *spec = tree_object(vs, "spec");
    tree_set_string(tree_object(spec, "source"), "volumeSnapshotContentName", c->content_name);
    tree_set_string(spec, "volumeSnapshotClassName",
                    json_str(c->content, "spec.volumeSnapshotClassName"));
    return tree_print(vs, out, err);
}

/* The end that we wrote; whoever changed it, the claim would restore something else. */
static int check_copy(const struct target_content_copy *c, const cJSON *content,
                      const cJSON *snapshot, struct err *err)
{
    const char *wrong = NULL;
    if (dying(content) || dying(snapshot))
        wrong = "is being deleted";
    else if (!str_eq(json_str(content, "spec.source.snapshotHandle"), handle_of(c->content)))
        wrong = "holds another snapshot handle";
    else if (!str_eq(json_str(content, "spec.driver"), json_str(c->content, "spec.driver")))
        wrong = "names another driver";
    else if (!str_eq(json_str(content, "spec.deletionPolicy"), "Retain"))
        wrong = "has a deletionPolicy other than Retain, which would delete the source's snapshot";
    else if (!str_eq(json_str(content, "spec.volumeSnapshotRef.name"), c->snapshot_name) ||
             !str_eq(json_str(content, "spec.volumeSnapshotRef.namespace"), c->wukong->ns))
        wrong = "belongs to another VolumeSnapshot";
    else if (!str_eq(json_str(snapshot, "spec.source.volumeSnapshotContentName"), c->content_name))
        wrong = "is not what the VolumeSnapshot was made from";
    if (wrong)
        return err_set(err, ERR_REFUSED, "the snapshot's copy \"%.150s\" %s", c->content_name,
                       wrong);
    return 0;
}

int target_content_copy_bound(const struct target_content_copy *c, const cJSON *copy_content,
                              const cJSON *copy_snapshot, struct err *err)
{
    if (check_content(c->content, err) < 0 || check_copy(c, copy_content, copy_snapshot, err) < 0)
        return -1;
    const char *uid = json_str(copy_content, "spec.volumeSnapshotRef.uid");
    const char *bound = json_str(copy_snapshot, "status.boundVolumeSnapshotContentName");
    if (str_empty(uid) || str_empty(bound))
        return err_set(err, ERR_NOT_FOUND, "the snapshot's copy \"%.150s\" is not bound yet",
                       c->content_name);
    if (!str_eq(uid, json_str(copy_snapshot, "metadata.uid")))
        return err_set(err, ERR_REFUSED,
                       "the snapshot's copy \"%.150s\" is bound to an earlier VolumeSnapshot of "
                       "the same name",
                       c->content_name);
    if (!str_eq(bound, c->content_name))
        return err_set(err, ERR_REFUSED,
                       "VolumeSnapshot \"%.63s\" is bound to \"%.100s\" instead of our copy",
                       c->snapshot_name, bound);
    return 0;
}

/* --- KubeVirt's snapshot --- */

int target_vmsnapshot_body(const struct wukong *w, const char *name, const char *ns, const char *vm,
                           int64_t failure_deadline_s, struct buf *out, struct err *err)
{
    cJSON *metadata;
    /* 0s would mean no deadline, and no safety thaw in the guest. */
    assert(failure_deadline_s > 0);
    CLEANUP_JSON cJSON *snapshot = tree_kubernetes("snapshot.kubevirt.io/v1beta1",
                                                   "VirtualMachineSnapshot", name, ns, &metadata);
    tree_our_labels(metadata, w, -1, NULL, ns);
    cJSON *spec = tree_object(snapshot, "spec");
    cJSON *source = tree_object(spec, "source");
    tree_set_string(source, "apiGroup", "kubevirt.io");
    tree_set_string(source, "kind", "VirtualMachine");
    tree_set_string(source, "name", vm);
    CLEANUP_FREE char *deadline = xasprintf("%llds", (long long)failure_deadline_s);
    tree_set_string(spec, "failureDeadline", deadline);
    return tree_print(snapshot, out, err);
}
