/* What spec.target asks of the template. */
#include "manifests/build.h"

#include "base/str.h"
#include "wukong/api/marks.h"

struct differences_of build_differences_of(const struct manifest_build *b)
{
    const cJSON *carried = json_get(b->source, MANIFEST_ANNOTATIONS);
    return (struct differences_of){
        .annotations = carried ? carried : json_get(b->source, MANIFEST_MISSED),
        .instance = b->instance,
        .target = carried ? &b->w->spec.target : NULL,
        .elsewhere = b->r->effective->cross_namespace,
    };
}

static void keep_annotations(struct manifest_build *b, cJSON *metadata)
{
    const struct differences_of of = build_differences_of(b);
    const cJSON *m;
    if (!of.target || !cJSON_IsObject(of.annotations))
        return;
    cJSON_ArrayForEach (m, of.annotations)
        if (annotation_fate(&of, m) == ANNOTATION_KEPT)
            tree_set_string(tree_object(metadata, "annotations"), m->string, m->valuestring);
}

int build_marks(struct manifest_build *b, struct err *err)
{
    cJSON *metadata = tree_object(b->template, "metadata");
    (void)err;
    keep_annotations(b, metadata);
    tree_target_marks(metadata, b->w);
    return 0;
}
