#include "observe/call_log.h"

#include "base/mem.h"
#include "base/str.h"

struct shared_text *shared_text_new(const char *text, size_t len)
{
    struct shared_text *t = xmalloc(sizeof *t + len + 1);
    t->refs = 1;
    t->len = len;
    if (len)
        memcpy(t->text, text, len);
    t->text[len] = '\0';
    return t;
}

void shared_text_drop(struct shared_text *t)
{
    if (t && --t->refs == 0)
        free(t);
}

void call_set_body(struct call *c, char *body, size_t len)
{
    if (!c->shared)
        free(c->body);
    shared_text_drop(c->shared);
    c->shared = NULL;
    c->body = body;
    c->body_len = len;
}

void call_share_body(struct call *c, struct shared_text *body)
{
    if (body)
        body->refs++;
    call_set_body(c, NULL, 0);
    c->shared = body;
    c->body = body ? body->text : NULL;
    c->body_len = body ? body->len : 0;
}

static void call_free(struct call *c)
{
    free(c->reason);
    free(c->message);
    free(c->version);
    call_set_body(c, NULL, 0);
    free(c);
}

void call_log_release(struct call_log *m)
{
    while (m->calls) {
        struct call *c = m->calls;
        m->calls = c->next;
        call_free(c);
    }
    while (m->proofs) {
        struct proven *p = m->proofs;
        m->proofs = p->next;
        free(p);
    }
}

const struct call *call_log_find(const struct call_log *m, struct call_key key)
{
    for (const struct call *c = m ? m->calls : NULL; c; c = c->next)
        if (call_key_equal(&c->key, &key))
            return c;
    return NULL;
}

struct call *call_log_get(struct call_log *m, struct call_key key)
{
    struct call *c = (struct call *)call_log_find(m, key);
    if (c)
        return c;
    c = xcalloc(1, sizeof *c + call_key_room(&key));
    c->key = call_key_store(&key, c->texts);
    c->next = m->calls;
    m->calls = c;
    return c;
}

const struct proven *call_log_proven(const struct call_log *m, enum proof_kind kind,
                                     int64_t freeze_ms)
{
    for (const struct proven *p = m ? m->proofs : NULL; p; p = p->next)
        if (p->proof.kind == kind && p->proof.freeze_ms == freeze_ms)
            return p;
    return NULL;
}

struct proven *call_log_prove(struct call_log *m, struct freeze_proof proof)
{
    struct proven *p = (struct proven *)call_log_proven(m, proof.kind, proof.freeze_ms);
    if (p)
        return p;
    p = xcalloc(1, sizeof *p);
    *p = (struct proven){.next = m->proofs, .proof = proof};
    m->proofs = p;
    return p;
}

void call_log_forget(struct call_log *m, enum call_kind kind)
{
    for (struct call **p = &m->calls; *p;) {
        struct call *c = *p;
        if (c->state == CALL_FLYING || c->key.kind != kind) {
            p = &c->next;
            continue;
        }
        *p = c->next;
        call_free(c);
    }
}

bool call_log_has(const struct call_log *m, enum call_kind kind, const char *resource)
{
    for (const struct call *c = m->calls; c; c = c->next)
        if (c->key.kind == kind && str_eq(c->key.resource, resource))
            return true;
    return false;
}

void call_log_note_cleaning(struct call_log *m, int64_t what, int64_t now_mono_ms)
{
    if (m->cleaning_what != what)
        m->cleaning_mono_ms = now_mono_ms;
    m->cleaning_what = what;
    for (const struct call *c = what ? m->calls : NULL; c; c = c->next) {
        /* 500 is an answer: of a webhook that is down, perhaps for good. */
        bool unanswered = call_had_failed(c) && (c->code == 0 || c->code > 500);
        if (unanswered && c->done_mono_ms > m->cleaning_mono_ms)
            m->cleaning_mono_ms = c->done_mono_ms;
    }
}
