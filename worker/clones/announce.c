#include "clones/announce.h"

#include "base/mem.h"
#include "base/str.h"

void announce_open(struct announcement *a, const char *base, unsigned what, int64_t now_ms)
{
    bool same = str_eq(a->base, base);
    char *kept = xstrdup(base);
    free(a->base);
    /* An earlier write from the same base may still be the one that takes effect. */
    *a = (struct announcement){.base = kept,
                               .what = what | (same ? a->what : 0),
                               .unanswered = same && a->unanswered,
                               .sent_ms = now_ms};
}

bool announce_forbids(const struct announcement *a, const struct intent *i)
{
    return (a->what & ANNOUNCED_SEAL) && i->verb == INTENT_CREATE;
}

void announce_close(struct announcement *a)
{
    free(a->base);
    *a = (struct announcement){0};
}

static bool settled(struct announcement *a)
{
    announce_close(a);
    return true;
}

/* Refused, throttled, or never sent: it has changed nothing. */
static bool came_to_nothing(const struct call *c)
{
    return c->kind != ERR_AMBIGUOUS && c->kind != ERR_INTERNAL &&
           (c->kind != ERR_UNAVAILABLE || !c->code);
}

bool announce_answered(struct announcement *a, const struct call *status)
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

bool announce_seen(struct announcement *a, const struct kube_object *o)
{
    return a->base && kube_version_newer(a->base, o->resource_version) ? settled(a) : false;
}

bool announce_read(struct announcement *a, const struct call *read, const struct kube_object *o)
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
    return a->read_ms >= a->sent_ms + ANNOUNCE_LANDS_MS ? settled(a) : false;
}

bool announce_wants_read(const struct announcement *a, const struct call *status, int64_t now_ms)
{
    return a->base && a->unanswered && (!status || status->state != CALL_FLYING) &&
           (!a->read_ms || now_ms >= a->read_ms + ANNOUNCE_READ_MS);
}
