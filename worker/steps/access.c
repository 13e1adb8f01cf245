/*
 * Whether the requester of a clone from another namespace still may: what admission asked is asked
 * again, for the user whom the stamp names, before anything of the source is read and before it is
 * started. A clone may have waited for months since it was admitted.
 */
#include "steps/steps.h"

#include "base/str.h"
#include "json/json.h"
#include "wukong/api/access.h"

/* How old an answer may be when the source is read or started. */
#define ACCESS_FRESH_MS 60000
/* How soon after a refusal it is asked again at the earliest; no event tells of a right that was
   granted. */
#define ACCESS_AGAIN_MS 60000

static const char *const right_names[] = {[ACCESS_CLONE] = "clone", [ACCESS_START] = "start"};

static const char *question(const struct clone_state *v, enum access_right right)
{
    return right == ACCESS_CLONE ? v->permit.clone_review : v->permit.start_review;
}

/* The stamp is the question's age: a new one may name another user. */
static struct call_key question_key(const struct clone_state *v, enum access_right right)
{
    return call_key_numbered(right == ACCESS_CLONE ? CALL_ACCESS_CLONE : CALL_ACCESS_START,
                             v->permit.issued_ms);
}

static const struct call *answer(const struct clone_state *v, enum access_right right)
{
    return call_log_find(v->call_log, question_key(v, right));
}

static bool allowed(const struct call *c, bool *ret_known)
{
    CLEANUP_JSON cJSON *tree = NULL;
    *ret_known = false;
    if (!call_was_ok(c) || !c->body || json_read(c->body, c->body_len, &tree, NULL) < 0)
        return false;
    return access_allowed(tree, ret_known);
}

static enum step_status refused(const struct clone_state *v, enum access_right right,
                                struct why *why)
{
    const struct call *c = answer(v, right);
    why_set(why, REASON_NOT_ADMITTED,
            "user \"%s\", who asked for this clone, may not %s %s of namespace %s any more: that "
            "needs verb %s; once it is granted, the clone continues by itself",
            str_or(v->permit.user, ""), right_names[right], v->effective.source_name,
            v->effective.source_ns,
            right == ACCESS_CLONE ? "create on wukongs/source (group " WUKONG_GROUP ") there"
                                  : "update on virtualmachines/start (group "
                                    "subresources.kubevirt.io) there");
    int64_t wait = clone_wait_at(v, c->done_ms);
    why->again_ms = c->done_ms + (wait > ACCESS_AGAIN_MS ? wait : ACCESS_AGAIN_MS);
    return v->now.wall_ms < why->again_ms ? STEP_WAIT : STEP_TODO;
}

enum step_status check_access_kept(const struct clone_state *v, struct why *why)
{
    bool known;
    const struct call *c = question(v, ACCESS_CLONE) ? answer(v, ACCESS_CLONE) : NULL;
    return !allowed(c, &known) && known ? refused(v, ACCESS_CLONE, why) : STEP_DONE;
}

enum step_status check_access(const struct clone_state *v, enum access_right right, struct why *why)
{
    bool known;
    const struct call *c = answer(v, right);
    if (!question(v, right))
        return STEP_DONE;
    bool may = allowed(c, &known);
    if (known && !may)
        return refused(v, right, why);
    /* Whoever waits for its turn to freeze asks when that has come. */
    if (known && (clone_waits_for_turn(v) || v->now.wall_ms - c->done_ms < ACCESS_FRESH_MS))
        return STEP_DONE;
    why_set(why, REASON_WAITING, "the worker is asking whether user \"%s\" may %s the source",
            str_or(v->permit.user, ""), right_names[right]);
    if (call_failed(c)) {
        why_set(why, REASON_WAITING,
                "the worker cannot check whether user \"%s\" may %s the source: %s",
                str_or(v->permit.user, ""), right_names[right], str_or(c->message, "no answer"));
        why->again_ms = c->retry_ms;
    }
    return STEP_TODO;
}

void access_ask(const struct clone_state *v, enum access_right right, struct decision *d)
{
    struct intent *i = intents_add(&d->intents, INTENT_ASK, &worker_kinds[KIND_ACCESS_REVIEW], NULL,
                                   NULL, question_key(v, right));
    i->body = question(v, right);
    i->shared = true;
}

void step_policy_run(const struct clone_state *v, struct decision *d)
{
    struct why why = {0};
    if (check_access_kept(v, &why) == STEP_TODO)
        access_ask(v, ACCESS_CLONE, d);
}
