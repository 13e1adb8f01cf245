#include "webhook/admission.h"

#include <assert.h>

#include "apimachinery/dns_names.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"
#include "webhook/admission_judgement.h"
#include "wukong/rules/rules.h"
#include "wukong/rules/validate.h"
#include "wukong/source/disks.h"
#include "wukong/stamp/stamp.h"

/* A review is at most 7 MiB; what is decoded from it and from the lookups is a part of that. */
#define ADMISSION_ARENA_BYTES (16u * MIB)

const char *const admission_verdict_names[VERDICTS] = {"allowed",   "invalid",   "denied",
                                                       "undecided", "malformed", "pending"};

/* Rules of permission, in the form of the table, for answers that hold field errors too. */
static const struct rule access_rule = {.id = "source-access",
                                        .group = RULE_POLICY,
                                        .cause = FINDING_FORBIDDEN,
                                        .message = "",
                                        .remedy = ""};
static const struct rule policy_rule = {.id = "clone-policy",
                                        .group = RULE_POLICY,
                                        .cause = FINDING_FORBIDDEN,
                                        .message = "",
                                        .remedy = ""};

static const char *const clone_source_path[] = {"spec", "cloneSource", NULL};

/* --- CREATE ---------------------------------------------------------------------------------- */

static bool has_source_error(const struct findings *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].severity == FINDING_ERROR && l->items[i].rule->group == RULE_SOURCE)
            return true;
    return false;
}

static void reset_findings(struct judgement *j, struct findings_mark keep)
{
    findings_rewind(&j->findings, keep);
    j->denial = j->undecided = j->decided_by = j->policies = NULL;
    j->warning_count = 0;
}

/* With the caches first; when that would deny, once more with live lists: a class or policy that
   was applied a moment ago may not have reached the caches yet. */
static void judge_source(struct judgement *j)
{
    struct findings_mark keep = findings_mark(&j->findings);
    const struct source_known known = {.classes = j->c->classes,
                                       .policies = j->c->policies,
                                       .policy_count = j->c->policy_count,
                                       .policies_incomplete = j->c->policies_incomplete,
                                       .cdi_known = j->c->cdi_known};
    for (int live = 0; live <= 1; live++) {
        struct source_info g;
        reset_findings(j, keep);
        look_up_source(&known, &j->w, &j->e, j->review.ns, live, j->lookups, &j->arena, &g);
        /* A second gathering asks for what the first answers lead to. */
        if (lookups_pending(j->lookups) && !j->c->out_of_time) {
            j->pending = true;
            return;
        }
        admission_raise_cuts(j, &g);
        validate_source(&j->w, &j->e, &g.source, &g.classes, &j->findings);
        admission_check_start(j, &g);
        admission_judge_policies(j, &g);
        if (g.incomplete || (lookups_pending(j->lookups) && j->c->out_of_time))
            admission_warn(j, "the webhook could not check the source now; the worker checks it "
                              "again before it clones it");
        if (!has_source_error(&j->findings) && !str_eq(j->decided_by, "ClonePolicy"))
            return;
    }
}

static bool source_is_nameable(const struct wukong_effective *e)
{
    return e->source_type != SOURCE_UNSET && name_is_dns_subdomain(e->source_name) &&
           name_is_dns_label(e->source_ns);
}

/* old: what it was before an UPDATE; NULL on CREATE. */
static void write_defaults(struct judgement *j, const cJSON *old)
{
    const struct source_defaults d = wukong_source_defaults(j->review.object, old, j->review.ns);
    if (d.clone_type)
        json_patch_set(&j->patch, clone_source_path, "cloneType", d.clone_type);
    if (d.ns)
        json_patch_set(&j->patch, clone_source_path, "namespace", d.ns);
}

/* What has no shape of a Wukong at all has been reported field by field already. */
static int decode_wukong(struct judgement *j, struct err *err)
{
    if (wukong_decode(&j->arena, j->review.object, &j->w, err) < 0)
        return j->findings.errors ? 0 : -1;
    j->e = wukong_resolve_defaults(&j->w.spec, j->review.ns);
    j->is_clone = j->e.is_clone;
    return 0;
}

/* What did not fit may have been a word of a policy, a label or a group: nothing is allowed on the
   rest. The object itself takes most of the memory, so its user can mend it. */
static void out_of_memory(struct judgement *j)
{
    j->decided_by = "TooLarge";
    j->undecided = "the Wukong, its source and the ClonePolicies are together too large to check; "
                   "remove labels, annotations or fields";
}

static int judge_create(struct judgement *j, struct err *err)
{
    validate_create(j->review.object, &j->findings);
    if (decode_wukong(j, err) < 0)
        return -1;
    if (j->is_clone && source_is_nameable(&j->e) && admission_may_clone(j))
        judge_source(j);
    if (j->arena.failed)
        out_of_memory(j);
    bool refused = j->findings.errors || j->denial || j->undecided;
    if (j->pending || refused || j->c->endpoint != ADMISSION_MUTATE)
        return 0;
    json_patch_test(&j->patch, clone_source_path, "type");
    write_defaults(j, NULL);
    admission_write_stamp(j);
    return 0;
}

/* --- UPDATE ---------------------------------------------------------------------------------- */

/* What the mutating endpoint wrote at CREATE is missing from the manifest in a user's hands:
   `kubectl replace` would take it away, which immutability refuses. */
static void restore(struct judgement *j)
{
    write_defaults(j, j->review.old_object);
    admission_restore_stamp(j);
}

/* Whoever changes when, or whether, an admitted clone runs asks for it anew: a right that was taken
   away is not kept by a clone that waits, and it is the asker's from now on. */
static void judge_asked_anew(struct judgement *j)
{
    for (size_t i = 0; i < j->c->policy_count; i++)
        j->asks_who |=
            j->c->policies[i].match.subject_count || j->c->policies[i].exclude.subject_count;
    bool needed = j->e.cross_namespace || j->asks_who;
    bool may = admission_may_clone(j);
    if (may && j->e.cross_namespace && !j->start_known)
        admission_start_unknown(j);
    if (may && !j->undecided && needed && !j->findings.errors && j->c->endpoint == ADMISSION_MUTATE)
        admission_write_stamp(j);
}

/* Whoever extends the life of a clone meets the policies that limit it, as he who creates one. */
static void judge_longer_life(struct judgement *j)
{
    const cJSON *before = json_at(j->review.old_object, "spec.expires");
    const cJSON *after = json_at(j->review.object, "spec.expires");
    const struct source_known known = {.classes = j->c->classes,
                                       .policies = j->c->policies,
                                       .policy_count = j->c->policy_count,
                                       .policies_incomplete = j->c->policies_incomplete,
                                       .cdi_known = j->c->cdi_known};
    struct source_info g;
    bool same = before && after ? json_equal(before, after) : before == after;
    if (same || !j->is_clone || !policy_limits_lifetime(j->c->policies, j->c->policy_count))
        return;
    look_up_source(&known, &j->w, &j->e, j->review.ns, false, j->lookups, &j->arena, &g);
    if (lookups_pending(j->lookups) && !j->c->out_of_time)
        j->pending = true;
    else
        admission_judge_lifetime(j, &g);
}

static void judge_update(struct judgement *j)
{
    const cJSON *old = j->review.old_object;
    if (j->c->endpoint == ADMISSION_MUTATE)
        restore(j);
    validate_update(old, j->review.object, &j->findings);
    /* What was stored without the shape of a Wukong must still be able to lose its finalizers. */
    struct err shapeless = {0};
    (void)decode_wukong(j, &shapeless);
    j->wukong_uid = json_str(old, "metadata.uid");
    bool anew = j->is_clone && source_is_nameable(&j->e) && update_asks_anew(old, j->review.object);
    if (anew)
        judge_asked_anew(j);
    if (!j->findings.errors && !j->denial && !j->undecided)
        judge_longer_life(j);
    if (j->c->endpoint == ADMISSION_VALIDATE && !j->denial && !j->undecided && !j->pending)
        admission_check_stamp_kept(j, anew);
}

/* --- The answer ------------------------------------------------------------------------------ */

/* The first ones, which tell what ends or delays the clone, and how many there are besides. */
static void keep_within_budget(struct judgement *j)
{
    size_t total = 0, i = 0;
    while (i < j->warning_count && total + strlen(j->warnings[i]) <= FINDING_WARNINGS_MAX)
        total += strlen(j->warnings[i++]);
    if (i == j->warning_count)
        return;
    const char *rest = arena_printf(&j->arena, "%zu more warnings: kubectl wukong plan shows them",
                                    j->warning_count - i);
    j->warning_count = i;
    admission_warn(j, rest);
}

static void collect_warnings(struct judgement *j)
{
    for (size_t i = 0; i < j->findings.count; i++) {
        const struct finding *finding = &j->findings.items[i];
        if (finding->severity != FINDING_WARNING)
            continue;
        const char *full = arena_printf(&j->arena, "%s: %s", finding->field, finding->message);
        admission_warn(j, full && strlen(full) <= FINDING_WARNING_MAX ? full : finding->message);
    }
    /* The API asks for at most 120 characters each. */
    for (size_t i = 0; i < j->warning_count; i++) {
        size_t n = strlen(j->warnings[i]);
        if (n <= FINDING_WARNING_MAX)
            continue;
        size_t keep = FINDING_WARNING_MAX - 3;
        while (keep && ((unsigned char)j->warnings[i][keep] & 0xC0) == 0x80)
            keep--;
        j->warnings[i] = arena_printf(&j->arena, "%.*s...", (int)keep, j->warnings[i]);
        if (!j->warnings[i])
            j->warnings[i] = "";
    }
    keep_within_budget(j);
}

static const char *object_name(const struct judgement *j)
{
    const char *name = str_or(j->review.name, json_str(j->review.object, "metadata.name"));
    return str_or(name, str_or(json_str(j->review.object, "metadata.generateName"), ""));
}

static const char *source_annotation(struct judgement *j)
{
    if (!j->is_clone || j->e.source_type == SOURCE_UNSET || !j->e.source_name)
        return NULL;
    return arena_printf(&j->arena, "%s %s/%s", source_type_names[j->e.source_type],
                        str_or(j->e.source_ns, ""), j->e.source_name);
}

static const char *kind_of(const struct judgement *j)
{
    return str_eq(j->review.resource, POLICY_RESOURCE) ? POLICY_KIND : WUKONG_KIND;
}

static void set_invalid(struct judgement *j, struct admission_review_answer *a, struct buf *message)
{
    /* Permission and policy beside field errors: one more cause, so that one apply shows all. */
    if (j->denial)
        findings_add(&j->findings,
                     str_eq(j->decided_by, "ClonePolicy") ? &policy_rule : &access_rule,
                     "spec.cloneSource", NULL, "%s", j->denial);
    buf_addf(message, "%s." WUKONG_GROUP " \"%.*s\" is invalid: ", kind_of(j), LIMIT_DNS_SUBDOMAIN,
             object_name(j));
    findings_message(&j->findings, message);
    j->decided_by = "Invalid";
    a->code = 422;
    a->reason = "Invalid";
    a->findings = &j->findings;
    a->message = buf_ok(message) ? message->data : "the object is invalid";
}

static enum admission_verdict write_answer(struct judgement *j, struct buf *out)
{
    CLEANUP_BUF struct buf message = BUF_INIT(MIB);
    CLEANUP_FREE char *patch = NULL;
    enum admission_verdict verdict = VERDICT_ALLOWED;
    collect_warnings(j);
    struct admission_review_answer a = {.kind = kind_of(j),
                                        .name = object_name(j),
                                        .warnings = j->warnings,
                                        .warning_count = j->warning_count,
                                        .policies = j->policies,
                                        .source = source_annotation(j)};
    if (j->findings.errors) {
        verdict = VERDICT_INVALID;
        set_invalid(j, &a, &message);
    } else if (j->denial) {
        verdict = VERDICT_DENIED;
        a.code = 403;
        a.reason = "Forbidden";
        a.message = j->denial;
    } else if (j->undecided) {
        verdict = VERDICT_UNDECIDED;
        a.code = 503;
        a.reason = "ServiceUnavailable";
        a.message = j->undecided;
    } else {
        a.allowed = true;
        patch = j->c->endpoint == ADMISSION_MUTATE ? json_patch_text(&j->patch) : NULL;
        a.patch = patch;
    }
    a.decision = admission_verdict_names[verdict];
    admission_review_write_answer(j->review.uid, &a, out);
    return verdict;
}

/* A policy that cannot be read denies all that it matches: better that nobody stores one. */
static void judge_clone_policy(struct judgement *j)
{
    struct policy policy = {0};
    validate_policy(j->review.object, &j->findings);
    if (j->findings.errors)
        return;
    policy_decode(&j->arena, j->review.object, &policy);
    if (policy.broken)
        findings_add(&j->findings, &policy_rule, "spec", NULL, "it cannot be read: %.512s",
                     policy.broken);
    if (j->arena.failed)
        out_of_memory(j);
}

static bool is_judged(const struct admission_review *r)
{
    return str_eq(r->group, WUKONG_GROUP) && str_empty(r->subresource) &&
           (str_eq(r->resource, WUKONG_RESOURCE) || str_eq(r->resource, POLICY_RESOURCE)) &&
           (r->operation == ADMISSION_REVIEW_CREATE || r->operation == ADMISSION_REVIEW_UPDATE);
}

static int judge_request(struct judgement *j, struct err *err)
{
    const struct admission_review *r = &j->review;
    /* Deletions, subresources and other kinds are none of our business, whoever registered us. */
    if (!is_judged(r))
        return 0;
    if (!str_eq(r->version, WUKONG_VERSION_NAME))
        return err_set(err, ERR_INVALID, "version %.64s of %.64s is not known", r->version,
                       r->resource);
    json_patch_init(&j->patch, j->review.object);
    if (str_eq(r->resource, POLICY_RESOURCE)) {
        judge_clone_policy(j);
        return 0;
    }
    admission_read_groups(j);
    if (r->operation == ADMISSION_REVIEW_CREATE)
        return judge_create(j, err);
    judge_update(j);
    return 0;
}

static void note_for_log(const struct judgement *j, struct admission_result *r)
{
    snprintf(r->uid, sizeof r->uid, "%s", str_or(j->wukong_uid, ""));
    snprintf(r->user, sizeof r->user, "%s", str_or(j->review.user, ""));
    snprintf(r->policies, sizeof r->policies, "%s", str_or(j->policies, ""));
    if (j->is_clone)
        snprintf(r->source, sizeof r->source, "%s/%s", str_or(j->e.source_ns, ""),
                 str_or(j->e.source_name, ""));
}

/* What was too large to be read, or holds a character that no field may: U+0000, say. The user
   learns what is wrong, which an HTTP error would not tell him. */
static void refuse_unread(const char *bytes, size_t len, const struct err *why, struct buf *out,
                          struct admission_result *ret)
{
    bool large = why->kind == ERR_LIMIT;
    CLEANUP_FREE char *uid =
        large || json_is_odd(bytes, len) ? admission_review_uid(bytes, len) : NULL;
    ret->verdict = VERDICT_MALFORMED;
    ret->reason = large ? "TooLarge" : "Malformed";
    if (!uid) {
        buf_addf(out, "%s\n", why->message);
        return;
    }
    CLEANUP_FREE char *message = xasprintf("the object cannot be read: %s", why->message);
    struct admission_review_answer a = {.code = large ? 413 : 400,
                                        .reason = large ? "RequestEntityTooLarge" : "BadRequest",
                                        .message = large ? why->message : message,
                                        .decision = admission_verdict_names[VERDICT_INVALID]};
    admission_review_write_answer(uid, &a, out);
    ret->verdict = VERDICT_INVALID;
}

/* From the bytes, unless the caller has kept what was read of them. */
static int get_review(struct judgement *j, const char *bytes, size_t len, struct err *err)
{
    struct admission_review *kept = j->c->review;
    if (kept && kept->tree) {
        j->review = *kept;
        return 0;
    }
    if (admission_review_read(bytes, len, &j->review, err) < 0)
        return -1;
    if (kept)
        *kept = j->review;
    return 0;
}

struct admission_result admission_judge(const struct admission_context *c, const char *bytes,
                                        size_t len, struct lookups *lookups, struct buf *out)
{
    struct admission_result result = {.operation = "", .reason = ""};
    struct judgement j = {.c = c, .lookups = lookups};
    struct err err = {0};
    arena_init(&j.arena, ADMISSION_ARENA_BYTES);
    findings_init(&j.findings);
    if (get_review(&j, bytes, len, &err) < 0) {
        refuse_unread(bytes, len, &err, out, &result);
    } else if (judge_request(&j, &err) < 0) {
        result.verdict = VERDICT_MALFORMED;
        result.reason = "Malformed";
        buf_addf(out, "%s\n", err.message);
    } else if (j.pending) {
        result.verdict = VERDICT_PENDING;
    } else {
        snprintf(result.log_name, sizeof result.log_name, "%s/%s", j.review.ns, object_name(&j));
        note_for_log(&j, &result);
        result.verdict = write_answer(&j, out);
        result.reason = str_or(j.decided_by, "Admitted");
    }
    if (j.review.tree)
        result.operation = admission_review_operation_names[j.review.operation];
    json_patch_release(&j.patch);
    findings_release(&j.findings);
    arena_release(&j.arena);
    if (!c->review)
        admission_review_release(&j.review);
    return result;
}
