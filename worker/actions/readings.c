#include "actions/readings.h"

#include "base/mem.h"
#include "base/str.h"

static void drop_reading(struct readings *all, struct reading *r)
{
    *(r->older ? &r->older->newer : &all->oldest) = r->newer;
    *(r->newer ? &r->newer->older : &all->newest) = r->older;
    all->count--;
    all->bytes -= r->body ? r->body->len : 0;
    shared_text_drop(r->body);
    free(r->key);
    free(r->reason);
    free(r->message);
    free(r->version);
    free(r);
}

static void drop_old(struct readings *all, int64_t now_ms)
{
    while (all->oldest && (now_ms - all->oldest->done_mono_ms >= READING_KEPT_MS ||
                           all->count > READINGS_MAX || all->bytes > READINGS_BYTES_MAX))
        drop_reading(all, all->oldest);
}

const struct reading *readings_find(struct readings *all, const char *key, int64_t since_ms,
                                    int64_t now_ms)
{
    drop_old(all, now_ms);
    for (struct reading *r = all->newest; r; r = r->older)
        if (str_eq(r->key, key))
            return r->sent_mono_ms >= since_ms ? r : NULL;
    return NULL;
}

void readings_keep(struct readings *all, const char *key, const struct call *c, int64_t now_ms)
{
    struct reading *r = all->newest;
    while (r && !str_eq(r->key, key))
        r = r->older;
    /* Of two that were under way at once the one that was sent last knows more. */
    if (r && r->sent_mono_ms > c->sent_mono_ms)
        return;
    if (r)
        drop_reading(all, r);
    bool answered = call_ok(c);
    r = xcalloc(1, sizeof *r);
    *r = (struct reading){.key = xstrdup(key),
                          .sent_ms = c->sent_ms,
                          .sent_mono_ms = c->sent_mono_ms,
                          .done_ms = c->done_ms,
                          .done_mono_ms = c->done_mono_ms,
                          .code = c->code,
                          .reason = answered ? NULL : xstrdup(c->reason),
                          .message = answered ? NULL : xstrdup(c->message),
                          .version = answered ? xstrdup(c->version) : NULL,
                          .body = answered ? c->shared : NULL,
                          .older = all->newest};
    if (r->body)
        r->body->refs++;
    *(all->newest ? &all->newest->newer : &all->oldest) = r;
    all->newest = r;
    all->count++;
    all->bytes += r->body ? r->body->len : 0;
    drop_old(all, now_ms);
}

void reading_give(const struct reading *r, struct call *c)
{
    c->state = r->body ? CALL_OK : CALL_FAILED;
    c->sent_ms = r->sent_ms;
    c->sent_mono_ms = r->sent_mono_ms;
    c->done_ms = r->done_ms;
    c->done_mono_ms = r->done_mono_ms;
    c->code = r->code;
    c->failures = r->body ? 0 : c->failures + 1;
    c->quota = false;
    free(c->reason);
    free(c->message);
    c->reason = xstrdup(r->reason);
    c->message = xstrdup(r->message);
    free(c->version);
    c->version = xstrdup(r->version);
    if (r->body) {
        call_share_body(c, r->body);
        return;
    }
    c->kind = ERR_NOT_FOUND;
    c->retry_ms = r->done_ms + READING_KEPT_MS;
    c->retry_mono_ms = r->done_mono_ms + READING_KEPT_MS;
}

void readings_release(struct readings *all)
{
    while (all->oldest)
        drop_reading(all, all->oldest);
}
