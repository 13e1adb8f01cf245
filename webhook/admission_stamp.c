#include "webhook/admission_judgement.h"

#include "base/str.h"
#include "wukong/stamp/stamp.h"

/* A stamp of ours that is younger is left as it is, so that a second pass changes nothing. */
#define STAMP_FRESH_MS (30 * 1000)

static const char *const annotations_path[] = {"metadata", "annotations", NULL};
static const char stamp_path[] = "metadata.annotations[" WUKONG_STAMP_ANNOTATION "]";

static bool same_groups(const struct stamp *a, const struct stamp *b)
{
    if (!a->groups != !b->groups || a->group_count != b->group_count)
        return false;
    for (size_t i = 0; i < a->group_count; i++)
        if (!str_eq(a->groups[i], b->groups[i]))
            return false;
    return true;
}

static bool stamp_is_fresh(struct judgement *j, const struct stamp *wanted)
{
    const char *present = wukong_pairs_get(&j->w.annotations, WUKONG_STAMP_ANNOTATION);
    struct stamp found;
    return present && j->c->stamp_public_key &&
           stamp_verify(present, j->c->stamp_public_key, wanted, j->c->now_ms, &j->arena, &found) ==
               STAMP_GOOD &&
           j->c->now_ms - found.issued_ms < STAMP_FRESH_MS &&
           found.may_start == wanted->may_start && str_eq(found.requester, wanted->requester) &&
           str_eq(found.uid, wanted->uid) && same_groups(&found, wanted);
}

static void describe_stamp(const struct judgement *j, struct stamp *ret)
{
    const struct wukong_effective *e = &j->e;
    bool named = !str_empty(j->w.name), who = e->cross_namespace || j->asks_who;
    *ret = (struct stamp){
        .ns = j->review.ns,
        .name = named ? j->w.name : NULL,
        .generate_name = named ? NULL : j->w.generate_name,
        .uid = j->wukong_uid,
        .source_kind = source_type_names[e->source_type],
        .source_ns = e->source_ns,
        .source_name = e->source_name,
        .requester = j->review.user,
        /* The worker asks for the right again, with these. */
        .groups = who ? j->groups : NULL,
        .group_count = who ? j->group_count : 0,
        .may_start = j->may_start,
        .issued_ms = j->c->now_ms,
    };
}

void admission_write_stamp(struct judgement *j)
{
    const struct wukong_effective *e = &j->e;
    if (!j->is_clone || !(e->cross_namespace || j->asks_who)) {
        json_patch_set(&j->patch, annotations_path, WUKONG_STAMP_ANNOTATION, NULL);
        return;
    }
    struct stamp stamp;
    describe_stamp(j, &stamp);
    if (stamp_is_fresh(j, &stamp))
        return;
    CLEANUP_BUF struct buf text = BUF_INIT(STAMP_TEXT_MAX);
    struct err err = {0};
    bool made = j->c->stamp_key && stamp_sign(&stamp, j->c->stamp_key, &text, &err) == 0;
    if (!made && err.kind == ERR_LIMIT && stamp.groups) {
        /* Too many groups for an annotation: they count as not known then. */
        stamp.groups = NULL;
        stamp.group_count = 0;
        buf_clear(&text);
        made = stamp_sign(&stamp, j->c->stamp_key, &text, &err) == 0;
    }
    if (!made) {
        j->decided_by = "NoStampKey";
        j->undecided =
            "the admission stamp that this clone needs, because its source is in another "
            "namespace or a ClonePolicy asks who clones, cannot be signed yet; try again";
        return;
    }
    json_patch_set(&j->patch, annotations_path, WUKONG_STAMP_ANNOTATION, text.data);
}

void admission_restore_stamp(struct judgement *j)
{
    json_patch_set(&j->patch, annotations_path, WUKONG_STAMP_ANNOTATION,
                   json_str(j->review.old_object, stamp_path));
}

void admission_check_stamp_kept(struct judgement *j, bool anew)
{
    struct stamp wanted;
    if (str_eq(json_str(j->review.object, stamp_path), json_str(j->review.old_object, stamp_path)))
        return;
    describe_stamp(j, &wanted);
    if (anew && stamp_is_fresh(j, &wanted))
        return;
    j->decided_by = "StampChanged";
    j->denial = "the annotation " WUKONG_STAMP_ANNOTATION " is the webhook's own and "
                "cannot be changed; restore its old value";
}
