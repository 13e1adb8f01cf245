/* Snapshots: of the source's claims, their copies for another namespace, and KubeVirt's own. */
#include "manifests/manifest.h"

#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "manifests/tree.h"

#define SNAPSHOT_API "snapshot.storage.k8s.io/v1"

int manifest_snapshot_body(const struct manifest_snapshot *s, struct buf *out, bool *ret_spec_kept,
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
        kept = strlen(text) <= MANIFEST_SPEC_ANNOTATION_MAX;
        if (kept)
            tree_set_string(tree_object(metadata, "annotations"), MANIFEST_SPEC_ANNOTATION, text);
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

/* Always with the class: without it snapshot-controller reads every volume once more and writes its
   own choice into the object (SetDefaultGroupSnapshotClass). */
int target_group_body(const struct target_group *g, struct buf *out, struct err *err)
{
    cJSON *metadata;
    assert(g->version && g->name && g->ns && g->class);
    assert(g->label_key && g->label_value);
    CLEANUP_FREE char *api = xasprintf("groupsnapshot.storage.k8s.io/%s", g->version);
    CLEANUP_JSON cJSON *group =
        tree_kubernetes(api, "VolumeGroupSnapshot", g->name, g->ns, &metadata);
    tree_our_labels(metadata, g->wukong, -1, g->disk, g->ns);
    CLEANUP_FREE char *text = g->source_spec ? json_print(g->source_spec) : NULL;
    if (text && strlen(text) <= MANIFEST_SPEC_ANNOTATION_MAX)
        tree_set_string(tree_object(metadata, "annotations"), MANIFEST_SPEC_ANNOTATION, text);
    cJSON *spec = tree_object(group, "spec");
    cJSON *selector = tree_object(tree_object(spec, "source"), "selector");
    tree_set_string(tree_object(selector, "matchLabels"), g->label_key, g->label_value);
    tree_set_string(spec, "volumeGroupSnapshotClassName", g->class);
    return tree_print(group, out, err);
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

int manifest_content_copy_body(const struct manifest_content_copy *c, struct buf *out,
                               struct err *err)
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

int manifest_snapshot_of_content_body(const struct manifest_content_copy *c, struct buf *out,
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

/* --- KubeVirt's snapshot --- */

int manifest_vmsnapshot_body(const struct wukong *w, const char *name, const char *ns,
                             const char *vm, int64_t failure_deadline_s, struct buf *out,
                             struct err *err)
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
