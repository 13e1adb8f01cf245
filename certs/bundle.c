#include "certs/bundle.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

void bundle_plan_release(struct bundle_plan *p)
{
    free(p->wanted);
    *p = (struct bundle_plan){0};
}

void bundle_memo_release(struct bundle_memo *m)
{
    for (size_t i = 0; i < BUNDLE_MEMO_MAX; i++)
        free(m->ends[i].cert);
    free(m->issuer);
    free(m->issued);
    *m = (struct bundle_memo){0};
}

int64_t bundle_expiry(struct bundle_memo *m, const char *cert)
{
    struct cert_facts facts;
    struct err err = {0};
    for (size_t i = 0; m && cert && i < BUNDLE_MEMO_MAX; i++)
        if (str_eq(m->ends[i].cert, cert))
            return m->ends[i].end_ms;
    if (!cert || authority_facts(cert, &facts, &err) < 0)
        return INT64_MAX;
    if (m) {
        size_t at = m->oldest++ % BUNDLE_MEMO_MAX;
        free(m->ends[at].cert);
        m->ends[at].cert = xstrdup(cert);
        m->ends[at].end_ms = facts.not_after_ms;
    }
    return facts.not_after_ms;
}

static bool issued_by(struct bundle_memo *m, const char *ca, const char *cert)
{
    if (!m)
        return authority_issued(ca, cert);
    if (str_eq(m->issuer, ca) && str_eq(m->issued, cert))
        return m->fits;
    free(m->issuer);
    free(m->issued);
    m->issuer = xstrdup(ca);
    m->issued = xstrdup(cert);
    m->fits = authority_issued(ca, cert);
    return m->fits;
}

static bool alive(struct bundle_memo *m, const char *cert, int64_t now_ms)
{
    int64_t end_ms = bundle_expiry(m, cert);
    return end_ms > now_ms && end_ms != INT64_MAX;
}

/* Renewal is due when a third of the life is left (cert-manager renews at two thirds too). The rest
   of the certificate's own life counts, so that a shortened setting takes effect at once. */
static int64_t due_ms(struct bundle_memo *m, const char *cert, int64_t life_ms)
{
    int64_t end = bundle_expiry(m, cert);
    return end == INT64_MAX ? INT64_MAX : end - life_ms / 3;
}

static void earlier(int64_t *at, int64_t candidate)
{
    if (candidate < *at)
        *at = candidate;
}

static bool all_hold(const struct bundle_view *v, const char *cert)
{
    for (size_t i = 0; i < v->live_count; i++)
        if (!v->live[i] || !authority_bundle_has(v->live[i], cert))
            return false;
    return v->configurations_read && v->live_count > 0;
}

/* Appends those certificates of a bundle that are alive and not there yet. */
static void add_alive(struct bundle_memo *m, struct buf *out, const char *bundle, bool only_ours,
                      int64_t now_ms)
{
    size_t count = 0;
    char **certs = authority_split(bundle, &count);
    for (size_t i = 0; i < count; i++) {
        if (!(out->len && authority_bundle_has(out->data, certs[i])) &&
            alive(m, certs[i], now_ms) && (!only_ours || authority_named(certs[i], BUNDLE_CA_NAME)))
            buf_adds(out, certs[i]);
        free(certs[i]);
    }
    free(certs);
}

static char *wanted_bundle(const struct bundle_view *v)
{
    CLEANUP_BUF struct buf out = BUF_INIT(LIMIT_PEM_BYTES);
    const struct ca_secret *s = v->secret;
    add_alive(v->memo, &out, s->previous, false, v->now_ms);
    add_alive(v->memo, &out, s->current.cert, false, v->now_ms);
    add_alive(v->memo, &out, s->next.cert, false, v->now_ms);
    if (!out.len)
        return NULL;
    /* What another replica has published, from a Secret that we may not have seen yet. */
    for (size_t i = 0; i < v->live_count; i++)
        add_alive(v->memo, &out, v->live[i], true, v->now_ms);
    return buf_ok(&out) ? buf_take(&out) : NULL;
}

static bool needs_publishing(const struct bundle_view *v, const char *wanted)
{
    if (!v->configurations_read || !wanted)
        return false;
    for (size_t i = 0; i < v->live_count; i++)
        if (!v->live[i] || !authority_bundle_equal(v->live[i], wanted))
            return true;
    return false;
}

static void decide_secret(const struct bundle_config *c, const struct bundle_view *v,
                          struct bundle_plan *p)
{
    const struct ca_secret *s = v->secret;
    if (!s->stamp_key)
        p->secret_change |= SECRET_MAKE_STAMP_KEY;
    bool current_alive = alive(v->memo, s->current.cert, v->now_ms);
    bool next_alive = alive(v->memo, s->next.cert, v->now_ms);
    int64_t renew_ms = due_ms(v->memo, s->current.cert, c->ca_life_ms);
    p->next_is_live = next_alive && all_hold(v, s->next.cert);
    if (!current_alive && next_alive) {
        /* Nobody verifies against an expired CA, so there is no gap left to keep closed. */
        p->secret_change |= SECRET_PROMOTE;
    } else if (!current_alive) {
        p->secret_change |= SECRET_MAKE_CURRENT;
    } else if (next_alive && p->next_is_live && v->next_live_since_ms) {
        int64_t settled_ms = v->next_live_since_ms + c->settle_ms;
        if (v->now_ms >= settled_ms)
            p->secret_change |= SECRET_PROMOTE;
        earlier(&p->wake_ms, settled_ms);
    } else if (!next_alive && v->now_ms >= renew_ms) {
        p->secret_change |= SECRET_MAKE_NEXT;
    }
    if (!next_alive)
        earlier(&p->wake_ms, renew_ms);
    if (s->previous) {
        int64_t first_ms = authority_first_expiry(s->previous);
        if (v->now_ms >= first_ms)
            p->secret_change |= SECRET_PRUNE_PREVIOUS;
        earlier(&p->wake_ms, first_ms);
    }
}

static void decide_leaf(const struct bundle_config *c, const struct bundle_view *v,
                        struct bundle_plan *p)
{
    const char *ca = v->secret->current.cert;
    if (!alive(v->memo, ca, v->now_ms))
        return;
    int64_t renew_ms = due_ms(v->memo, v->leaf, c->leaf_life_ms);
    /* A leaf that cannot live to its own two thirds, because its CA ends before, would be due at
       once and for ever: it is renewed when its CA is replaced. */
    bool issued = v->leaf && issued_by(v->memo, ca, v->leaf);
    bool clipped = issued && bundle_expiry(v->memo, v->leaf) >= bundle_expiry(v->memo, ca);
    bool is_due = !clipped && v->now_ms >= renew_ms;
    p->sign_leaf =
        !alive(v->memo, v->leaf, v->now_ms) || is_due || (v->leaf && !issued && all_hold(v, ca));
    if (!clipped)
        earlier(&p->wake_ms, renew_ms);
}

bool bundle_verifies(const struct bundle_view *v, const char *host, const char **why_not)
{
    *why_not = "no serving certificate yet";
    if (!v->leaf)
        return false;
    *why_not = "webhook configurations not read yet";
    if (!v->configurations_read)
        return false;
    *why_not = "no webhook is registered";
    if (!v->live_count)
        return false;
    for (size_t i = 0; i < v->live_count; i++) {
        struct err err = {0};
        *why_not = "a webhook has no caBundle yet";
        if (!v->live[i])
            return false;
        *why_not = "the serving certificate does not verify against the live caBundle";
        /* All webhooks have the same bundle as a rule. */
        if (i > 0 && str_eq(v->live[i], v->live[i - 1]))
            continue;
        if (authority_verify(v->leaf, v->live[i], host, v->now_ms, &err) < 0)
            return false;
    }
    *why_not = NULL;
    return true;
}

void bundle_decide(const struct bundle_config *c, const struct bundle_view *v,
                   struct bundle_plan *ret)
{
    assert(c->ca_life_ms > 0);
    assert(c->leaf_life_ms > 0);
    struct bundle_plan p = {.wake_ms = INT64_MAX};
    if (v->secret) {
        decide_secret(c, v, &p);
        p.wanted = wanted_bundle(v);
        p.publish = needs_publishing(v, p.wanted);
        decide_leaf(c, v, &p);
    }
    p.ready = bundle_verifies(v, c->host, &p.why_not);
    earlier(&p.wake_ms, bundle_expiry(v->memo, v->leaf));
    *ret = p;
}

static int make_ca(const struct bundle_config *c, int64_t now_ms, struct keypair *ret,
                   struct err *err)
{
    /* The time in the name tells a human which is which. */
    char when[TIME_TEXT_MAX], name[64];
    time_to_str(now_ms, false, when);
    snprintf(name, sizeof name, BUNDLE_CA_NAME " %s", when);
    return authority_new_ca(name, now_ms, c->ca_life_ms, ret, err);
}

static void remember_previous(struct ca_secret *s, const char *cert, int64_t now_ms)
{
    CLEANUP_BUF struct buf out = BUF_INIT(LIMIT_PEM_BYTES);
    add_alive(NULL, &out, s->previous, false, now_ms);
    if (cert)
        add_alive(NULL, &out, cert, false, now_ms);
    free(s->previous);
    s->previous = out.len ? buf_take(&out) : NULL;
}

int bundle_change_secret(const struct bundle_config *c, const struct ca_secret *old,
                         unsigned change, int64_t now_ms, struct ca_secret *ret, struct err *err)
{
    CLEANUP_CA_SECRET struct ca_secret s = {0};
    ca_secret_copy(old, &s);
    if (change & SECRET_PROMOTE) {
        remember_previous(&s, s.current.cert, now_ms);
        keypair_release(&s.current);
        s.current = s.next;
        s.next = (struct keypair){0};
    }
    if (change & SECRET_PRUNE_PREVIOUS)
        remember_previous(&s, NULL, now_ms);
    if (change & SECRET_MAKE_CURRENT) {
        keypair_release(&s.current);
        keypair_release(&s.next);
        if (make_ca(c, now_ms, &s.current, err) < 0)
            return -1;
    }
    if (change & SECRET_MAKE_NEXT) {
        keypair_release(&s.next);
        if (make_ca(c, now_ms, &s.next, err) < 0)
            return -1;
    }
    if (change & SECRET_MAKE_STAMP_KEY) {
        free(TAKE(s.stamp_public));
        if (authority_new_key(&s.stamp_key, &s.stamp_public, err) < 0)
            return -1;
    }
    s.damaged = false;
    *ret = s;
    s = (struct ca_secret){0};
    return 0;
}
