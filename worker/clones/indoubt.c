#include "clones/indoubt.h"

#include "base/mem.h"
#include "base/str.h"

void indoubt_open(struct indoubt *a, const char *base, unsigned what, int64_t now_ms)
{
    bool same = str_eq(a->base, base);
    char *kept = xstrdup(base);
    free(a->base);
    /* An earlier write from the same base may still be the one that takes effect. */
    *a = (struct indoubt){.base = kept,
                          .what = what | (same ? a->what : 0),
                          .unanswered = same && a->unanswered,
                          .sent_ms = now_ms};
}

bool indoubt_forbids(const struct indoubt *a, const struct intent *i)
{
    return (a->what & ANNOUNCED_SEAL) && i->verb == INTENT_CREATE;
}

void indoubt_close(struct indoubt *a)
{
    free(a->base);
    *a = (struct indoubt){0};
}

static bool settled(struct indoubt *a)
{
    indoubt_close(a);
    return true;
}

/* Refused, throttled, or never sent: it has changed nothing. */
static bool came_to_nothing(const struct call *c)
{
    return c->kind != ERR_AMBIGUOUS && c->kind != ERR_INTERNAL &&
           (c->kind != ERR_UNAVAILABLE || !c->code);
}

bool indoubt_answered(struct indoubt *a, const struct call *status)
{
    if (!a->base || !status || status->state == CALL_FLYING || status->state == CALL_NONE)
        return false;
    if (call_ok(status))
        return settled(a);
    if (!came_to_nothing(status))
        a->unanswered = true;
    /* A conflict tells that the store is ahead; that may be by the write without an answer. */
    return a->unanswered ? false : settled(a);
}

bool indoubt_seen(struct indoubt *a, const struct kube_object *o)
{
    return a->base && kube_version_newer(a->base, o->resource_version) ? settled(a) : false;
}

bool indoubt_read(struct indoubt *a, const struct call *read, const struct kube_object *o)
{
    if (!a->base || !a->read_ms)
        return false;
    /* With the Wukong everything that it announces is gone. */
    if (call_failed(read) && read->kind == ERR_NOT_FOUND)
        return settled(a);
    if (!call_ok(read) || !o)
        return false;
    if (kube_version_newer(a->base, o->resource_version))
        return settled(a);
    return a->read_ms >= a->sent_ms + INDOUBT_LANDS_MS ? settled(a) : false;
}

bool indoubt_wants_read(const struct indoubt *a, const struct call *status, int64_t now_ms)
{
    return a->base && a->unanswered && (!status || status->state != CALL_FLYING) &&
           (!a->read_ms || now_ms >= a->read_ms + INDOUBT_READ_MS);
}
