#include "observe/pods_digest.h"
#include "steps/pods.h"

#include "base/buf.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

/* Of a page that fails, too large perhaps, half as many are asked for. */
#define POD_PAGE 50u
#define POD_PAGES_MAX 2000
/* A list of several pages is of its first page's moment. */
#define POD_LIST_MS 60000

/* One that is being asked for: which page comes next, and who was found so far. */
struct asked {
    struct call_key key; /* of its first page */
    int64_t fresh_ms;    /* so old may it be; 0: it does not grow old */
    bool known;          /* all pages are there */
    unsigned page;       /* else the next one */
    const char *token;   /* and its token */
    const char *error;   /* why it has none yet; NULL: not tried */
    struct pod_user use, shares;
};

static bool is_own(const struct clone_state *v, const cJSON *pod)
{
    return v->source.vmi_exists && str_eq(json_str(pod, "of"), v->source.vmi_uid);
}

static void find_users(const struct clone_state *v, struct asked *a, const cJSON *pod)
{
    const cJSON *c;
    cJSON_ArrayForEach (c, json_get(pod, "claims"))
        for (size_t i = 0; i < v->disk_count; i++) {
            const struct disk_plan *p = v->disks[i].plan;
            if (!str_eq(cJSON_GetStringValue(c), p->claim))
                continue;
            struct pod_user found = {arena_strdup(v->arena, json_str(pod, "name")), p->name};
            if (!a->use.pod)
                a->use = found;
            if (p->shared && !is_own(v, pod) && !a->shares.pod)
                a->shares = found;
        }
}

static struct call_key page_key(const struct asked *a, unsigned page)
{
    struct call_key key = a->key;
    key.page = page;
    return key;
}

static const struct call *page_call(const struct clone_state *v, const struct asked *a,
                                    unsigned page)
{
    return call_log_find(v->call_log, page_key(a, page));
}

static bool is_old(const struct clone_state *v, const struct asked *a, const struct call *c,
                   bool last)
{
    int64_t age = v->now.wall_ms - c->done_ms;
    return a->fresh_ms && age >= (last ? a->fresh_ms : POD_LIST_MS);
}

static void from_the_start(struct asked *a)
{
    a->page = 0;
    a->token = "";
    a->known = false;
}

/* Walks the pages that are there, each asked for with the token of the one before. */
static struct asked ask_of(const struct clone_state *v, struct call_key key, int64_t fresh_ms)
{
    struct asked a = {.key = key, .fresh_ms = fresh_ms, .token = ""};
    const struct call *before = NULL;
    for (; a.page < POD_PAGES_MAX; a.page++) {
        CLEANUP_JSON cJSON *tree = NULL;
        const struct call *c = page_call(v, &a, a.page);
        bool follows = c && (!before || c->sent_ms >= before->done_ms);
        if (call_failed(c) && follows)
            a.error = arena_strdup(v->arena, str_or(c->message, "no answer"));
        /* The token has expired. */
        if (call_failed(c) && follows && c->code == 410 && before)
            from_the_start(&a);
        if (!follows || !call_ok(c) || !c->body || json_read(c->body, c->body_len, &tree, NULL) < 0)
            return a;
        const cJSON *pod;
        cJSON_ArrayForEach (pod, json_get(tree, "pods"))
            find_users(v, &a, pod);
        a.token = arena_strdup(v->arena, str_or(json_str(tree, "next"), ""));
        a.known = !*a.token;
        if (is_old(v, &a, c, a.known)) {
            from_the_start(&a);
            return a;
        }
        if (a.known)
            return a;
        before = c;
    }
    return a;
}

static void ask(const struct clone_state *v, struct decision *d, const struct asked *a)
{
    const struct call *c = page_call(v, a, a->page);
    unsigned failures = c ? c->failures : 0;
    struct intent *i = intents_add(&d->intents, INTENT_PODS, &worker_kinds[KIND_POD],
                                   v->effective.source_ns, NULL, page_key(a, a->page));
    i->limit = failures < 6 ? POD_PAGE >> failures : 1;
    i->token = a->token;
}

/* --- what it means --- */

static bool any_shared(const struct clone_state *v)
{
    for (size_t i = 0; i < v->disk_count; i++)
        if (v->disks[i].plan->shared)
            return true;
    return false;
}

static bool matters(const struct clone_state *v)
{
    return v->disk_count && (clone_cut_mode(v) == CUT_OFFLINE || any_shared(v));
}

static struct asked list_before(const struct clone_state *v)
{
    return ask_of(v, call_key(CALL_PODS_BEFORE), READ_FRESH_MS);
}

static struct asked list_after(const struct clone_state *v, enum call_kind list)
{
    return ask_of(v, call_key_numbered(list, clone_attempt(v)), 0);
}

static enum step_status asking(const struct clone_state *v, const struct asked *a, struct why *why)
{
    why_set(why, REASON_WAITING, "the worker is asking which Pods use the claims of the source%s%s",
            a->error ? ": " : "", str_or(a->error, ""));
    const struct call *c = page_call(v, a, a->page);
    if (call_failed(c))
        why->again_ms = c->retry_ms;
    return STEP_TODO;
}

enum step_status pods_before(const struct clone_state *v, struct why *why)
{
    if (!matters(v) || !clone_may_be_held(v))
        return STEP_DONE;
    const struct asked a = list_before(v);
    if (!a.known)
        return asking(v, &a, why);
    bool rest = clone_cut_mode(v) == CUT_OFFLINE;
    const struct pod_user *u = rest ? &a.use : &a.shares;
    if (!u->pod || (!rest && v->effective.quiesce != QUIESCE_REQUIRED))
        return STEP_DONE;
    why->disk = u->disk;
    why_set(why, REASON_SOURCE_BUSY, "the Pod %s/%s uses disk %s of the %s", v->effective.source_ns,
            u->pod, u->disk,
            rest ? "stopped source" : "source, and no freeze holds it back (quiesce is Required)");
    why->again_ms = v->now.wall_ms + clone_wait_ms(v);
    return STEP_WAIT;
}

void pods_ask_before(const struct clone_state *v, struct decision *d)
{
    const struct asked a = list_before(v);
    ask(v, d, &a);
}

enum step_status pods_after(const struct clone_state *v, enum call_kind list, struct why *why)
{
    if (!matters(v))
        return STEP_DONE;
    const struct asked a = list_after(v, list);
    if (!a.known)
        return asking(v, &a, why);
    if (!a.use.pod || clone_cut_mode(v) != CUT_OFFLINE)
        return STEP_DONE;
    why->disk = a.use.disk;
    why_set(why, REASON_SOURCE_CHANGED,
            "the Pod %s/%s began to use disk %s of the stopped source while its snapshots were cut",
            v->effective.source_ns, a.use.pod, a.use.disk);
    return STEP_FAILED;
}

void pods_ask_after(const struct clone_state *v, enum call_kind list, struct decision *d)
{
    if (!matters(v))
        return;
    const struct asked a = list_after(v, list);
    if (!a.known)
        ask(v, d, &a);
}

struct pod_user pods_sharing(const struct clone_state *v)
{
    if (!any_shared(v))
        return (struct pod_user){0};
    const struct asked after = list_after(v, CALL_PODS_AFTER);
    return after.shares.pod ? after.shares : ask_of(v, call_key(CALL_PODS_BEFORE), 0).shares;
}
