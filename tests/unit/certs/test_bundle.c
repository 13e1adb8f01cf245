/*
 * Proves that the CA is rotated without a gap. First the table of bundle.h, state by state. Then a
 * small world: three replicas that share one Secret and one webhook configuration through views
 * that lag, two API servers that learn of a caBundle late, optimistic concurrency on every write,
 * and replicas that crash between any two acts or sleep for longer than a certificate lives. The
 * invariant: whatever a replica that calls itself ready serves verifies at each API server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "certs/bundle.h"

#define NOW 1790000000000LL
#define SECOND 1000LL
#define HOST "wukong.ns.svc"

static const struct bundle_config config = {.ca_life_ms = 300 * SECOND,
                                            .leaf_life_ms = 60 * SECOND,
                                            .settle_ms = 10 * SECOND,
                                            .host = HOST};

static struct keypair sign(const struct keypair *ca, int64_t now)
{
    static const char *const names[] = {HOST};
    struct keypair leaf = {0};
    struct err err = {0};
    assert_int_equal(authority_sign_leaf(ca, names, 1, now, config.leaf_life_ms, &leaf, &err), 0);
    return leaf;
}

static struct ca_secret change(const struct ca_secret *s, unsigned what, int64_t now)
{
    struct ca_secret result = {0};
    struct err err = {0};
    assert_int_equal(bundle_change_secret(&config, s, what, now, &result, &err), 0);
    return result;
}

/* What is remembered of certificates changes no decision: each is made twice, with a memory that
   lasts over all tests and without. */
static struct bundle_memo memory;

static void decide(const struct bundle_config *c, const struct bundle_view *v,
                   struct bundle_plan *ret)
{
    CLEANUP_PLAN struct bundle_plan other;
    struct bundle_view remembering = *v;
    remembering.memo = &memory;
    bundle_decide(c, v, ret);
    bundle_decide(c, &remembering, &other);
    assert_int_equal(ret->secret_change, other.secret_change);
    assert_int_equal(ret->publish, other.publish);
    assert_int_equal(ret->sign_leaf, other.sign_leaf);
    assert_int_equal(ret->next_is_live, other.next_is_live);
    assert_int_equal(ret->ready, other.ready);
    assert_int_equal(ret->wake_ms, other.wake_ms);
    assert_true(str_eq(ret->why_not, other.why_not) && str_eq(ret->wanted, other.wanted));
}

static int forget(void **state)
{
    (void)state;
    bundle_memo_release(&memory);
    return 0;
}

/* --- The table of bundle.h ------------------------------------------------------------------- */

static void test_first_start(void **state)
{
    (void)state;
    struct ca_secret none = {0};
    struct bundle_view v = {.secret = &none, .configurations_read = true, .now_ms = NOW};
    v.live_count = 2;
    CLEANUP_PLAN struct bundle_plan p;
    decide(&config, &v, &p);
    assert_int_equal(p.secret_change, SECRET_MAKE_CURRENT | SECRET_MAKE_STAMP_KEY);
    assert_false(p.publish || p.sign_leaf || p.ready);
    /* The Secret is there: publish and sign; ready only when it is seen live. */
    CLEANUP_CA_SECRET struct ca_secret s = change(&none, p.secret_change, NOW);
    v.secret = &s;
    CLEANUP_PLAN struct bundle_plan q;
    decide(&config, &v, &q);
    assert_int_equal(q.secret_change, 0);
    assert_true(q.publish && q.sign_leaf && !q.ready);
    assert_string_equal(q.wanted, s.current.cert);
    CLEANUP_KEYPAIR struct keypair leaf = sign(&s.current, NOW);
    v.leaf = leaf.cert;
    v.live[0] = s.current.cert;
    CLEANUP_PLAN struct bundle_plan r;
    decide(&config, &v, &r);
    assert_true(r.publish && !r.ready); /* the second webhook has none yet */
    v.live[1] = s.current.cert;
    CLEANUP_PLAN struct bundle_plan t;
    decide(&config, &v, &t);
    assert_true(t.ready && !t.publish && !t.sign_leaf && !t.secret_change);
    assert_int_equal(t.wake_ms, NOW + 40 * SECOND); /* two thirds of the leaf */
}

static void test_nothing_known(void **state)
{
    (void)state;
    struct bundle_view v = {.now_ms = NOW};
    CLEANUP_PLAN struct bundle_plan p;
    decide(&config, &v, &p);
    assert_false(p.secret_change || p.publish || p.sign_leaf || p.ready);
    assert_non_null(p.why_not);
}

static void test_rotation(void **state)
{
    (void)state;
    struct ca_secret none = {0};
    CLEANUP_CA_SECRET struct ca_secret one =
        change(&none, SECRET_MAKE_CURRENT | SECRET_MAKE_STAMP_KEY, NOW);
    CLEANUP_KEYPAIR struct keypair leaf = sign(&one.current, NOW + 190 * SECOND);
    struct bundle_view v = {.secret = &one,
                            .configurations_read = true,
                            .live_count = 1,
                            .leaf = leaf.cert,
                            .live = {one.current.cert}};
    /* Before two thirds of the life nothing happens, at two thirds the next CA is made. */
    v.now_ms = NOW + 199 * SECOND;
    CLEANUP_PLAN struct bundle_plan a, b, c, d, e, f;
    decide(&config, &v, &a);
    assert_int_equal(a.secret_change, 0);
    assert_int_equal(a.wake_ms, NOW + 200 * SECOND);
    v.now_ms = NOW + 200 * SECOND;
    decide(&config, &v, &b);
    assert_int_equal(b.secret_change, SECRET_MAKE_NEXT);
    /* Both are published; the leaf stays with the old one. */
    CLEANUP_CA_SECRET struct ca_secret two = change(&one, b.secret_change, v.now_ms);
    v.secret = &two;
    decide(&config, &v, &c);
    assert_true(c.publish && !c.sign_leaf && !c.secret_change && c.ready && !c.next_is_live);
    assert_int_equal(authority_bundle_count(c.wanted), 2);
    /* Live, but not for long enough; then promoted. */
    v.live[0] = c.wanted;
    v.next_live_since_ms = v.now_ms;
    v.now_ms += config.settle_ms - 1;
    decide(&config, &v, &d);
    assert_true(d.next_is_live && !d.publish && !d.secret_change);
    v.now_ms += 1;
    decide(&config, &v, &e);
    assert_int_equal(e.secret_change, SECRET_PROMOTE);
    /* Signed with the new one; the old certificate stays until it expires, its key does not. */
    CLEANUP_CA_SECRET struct ca_secret three = change(&two, e.secret_change, v.now_ms);
    assert_string_equal(three.current.cert, two.next.cert);
    assert_string_equal(three.previous, two.current.cert);
    assert_null(three.next.cert);
    v.secret = &three;
    v.next_live_since_ms = 0;
    decide(&config, &v, &f);
    assert_true(f.sign_leaf && f.ready && !f.publish && !f.secret_change);
    v.now_ms = NOW + 300 * SECOND;
    CLEANUP_PLAN struct bundle_plan g;
    decide(&config, &v, &g);
    assert_int_equal(g.secret_change, SECRET_PRUNE_PREVIOUS);
    assert_int_equal(authority_bundle_count(g.wanted), 1);
}

static void test_repairs(void **state)
{
    (void)state;
    struct ca_secret none = {0};
    CLEANUP_CA_SECRET struct ca_secret s =
        change(&none, SECRET_MAKE_CURRENT | SECRET_MAKE_STAMP_KEY, NOW);
    CLEANUP_CA_SECRET struct ca_secret other = change(&none, SECRET_MAKE_CURRENT, NOW);
    CLEANUP_KEYPAIR struct keypair leaf = sign(&s.current, NOW);
    struct keypair foreign = {0};
    struct err err = {0};
    assert_int_equal(authority_new_ca("somebody", NOW, 300 * SECOND, &foreign, &err), 0);
    CLEANUP_FREE char *with_other = xasprintf("%s%s", other.current.cert, s.current.cert);
    CLEANUP_FREE char *with_foreign = xasprintf("%s%s", foreign.cert, s.current.cert);
    keypair_release(&foreign);
    const struct {
        const char *what, *live;
        bool publish, ready;
    } rows[] = {
        {"wiped", NULL, true, false},
        {"not PEM", "Cg==", true, false},
        {"another replica's CA beside ours is kept", with_other, false, true},
        {"another replica's CA alone is kept, ours added", other.current.cert, true, false},
        {"a foreign CA is removed", with_foreign, true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bundle_view v = {.secret = &s,
                                .configurations_read = true,
                                .live_count = 1,
                                .live = {rows[i].live},
                                .leaf = leaf.cert,
                                .now_ms = NOW};
        CLEANUP_PLAN struct bundle_plan p;
        decide(&config, &v, &p);
        if (p.publish != rows[i].publish || p.ready != rows[i].ready)
            fail_msg("%s: publish %d ready %d", rows[i].what, p.publish, p.ready);
        assert_true(authority_bundle_has(p.wanted, s.current.cert));
        assert_int_equal(authority_bundle_count(p.wanted),
                         rows[i].live && strstr(rows[i].what, "replica's") ? 2 : 1);
    }
}

static void test_everything_expired(void **state)
{
    (void)state;
    struct ca_secret none = {0};
    CLEANUP_CA_SECRET struct ca_secret s =
        change(&none, SECRET_MAKE_CURRENT | SECRET_MAKE_STAMP_KEY, NOW);
    struct bundle_view v = {.secret = &s,
                            .configurations_read = true,
                            .live_count = 1,
                            .live = {s.current.cert},
                            .now_ms = NOW + 1000 * SECOND};
    CLEANUP_PLAN struct bundle_plan p;
    decide(&config, &v, &p);
    assert_int_equal(p.secret_change, SECRET_MAKE_CURRENT);
    assert_false(p.sign_leaf);
    /* Asleep in the middle of a rotation: the next one, still alive, takes over at once. */
    CLEANUP_CA_SECRET struct ca_secret two = change(&s, SECRET_MAKE_NEXT, NOW + 200 * SECOND);
    v.secret = &two;
    v.now_ms = NOW + 310 * SECOND;
    CLEANUP_PLAN struct bundle_plan q;
    decide(&config, &v, &q);
    assert_int_equal(q.secret_change, SECRET_PROMOTE);
}

/* --- The world ------------------------------------------------------------------------------- */

#define REPLICAS 3
#define SERVERS 2
#define LAG_MAX 5

struct world {
    struct rng rng;
    int64_t now;
    struct ca_secret secret; /* resource_version as a number in the text */
    char *bundle;            /* of the one webhook; NULL: empty */
    unsigned bundle_version, secret_version, promotions, crashes, versions;
    char *seen_by_server[SERVERS];
    unsigned server_lag[SERVERS], server_version[SERVERS], checked[REPLICAS][SERVERS];
};

struct replica {
    struct ca_secret secret;
    bool secret_read, asleep, ready, dirty;
    char *bundle;
    unsigned bundle_version, lag, version; /* version: of leaf and readiness */
    bool bundle_read;
    struct keypair leaf;
    int64_t next_live_since, wake;
};

static void replica_restart(struct replica *r)
{
    ca_secret_release(&r->secret);
    keypair_release(&r->leaf);
    free(r->bundle);
    *r = (struct replica){.dirty = true};
}

static void replica_deliver(struct world *w, struct replica *r)
{
    ca_secret_release(&r->secret);
    ca_secret_copy(&w->secret, &r->secret);
    free(r->bundle);
    r->bundle = xstrdup(w->bundle);
    r->bundle_version = w->bundle_version;
    r->secret_read = r->bundle_read = r->dirty = true;
    r->lag = 0;
}

static bool crashes(struct world *w)
{
    bool yes = rng_chance(&w->rng, 20);
    w->crashes += yes;
    return yes;
}

/* PUT with resourceVersion, or POST: refused when somebody was faster. */
static void write_secret(struct world *w, struct replica *r, unsigned what)
{
    char version[24];
    snprintf(version, sizeof version, "%u", w->secret_version);
    if (w->secret.exists ? !str_eq(r->secret.resource_version, version) : r->secret.exists)
        return;
    struct ca_secret written = change(&r->secret, what, w->now);
    ca_secret_release(&w->secret);
    w->secret = written;
    w->secret.exists = true;
    free(w->secret.resource_version);
    w->secret.resource_version = xasprintf("%u", ++w->secret_version);
    w->promotions += (what & SECRET_PROMOTE) != 0;
}

/* One turn, as certs/keeper takes it. Returns false when it died on the way. */
static bool replica_step(struct world *w, struct replica *r)
{
    struct bundle_view v = {.secret = r->secret_read ? &r->secret : NULL,
                            .configurations_read = r->bundle_read,
                            .live_count = 1,
                            .live = {r->bundle},
                            .leaf = r->leaf.cert,
                            .next_live_since_ms = r->next_live_since,
                            .now_ms = w->now};
    CLEANUP_PLAN struct bundle_plan p;
    decide(&config, &v, &p);
    r->next_live_since = !p.next_is_live ? 0 : r->next_live_since ? r->next_live_since : w->now;
    if (crashes(w))
        return false;
    if (p.secret_change)
        write_secret(w, r, p.secret_change);
    if (crashes(w))
        return false;
    if (p.publish && r->bundle_version == w->bundle_version) {
        free(w->bundle);
        w->bundle = xstrdup(p.wanted);
        w->bundle_version++;
    }
    if (crashes(w))
        return false;
    if (p.sign_leaf) {
        keypair_release(&r->leaf);
        r->leaf = sign(&r->secret.current, w->now);
        v.leaf = r->leaf.cert;
    }
    const char *why_not = NULL;
    r->ready = bundle_verifies(&v, HOST, &why_not);
    r->version = ++w->versions;
    r->wake = p.wake_ms;
    /* After an act of its own, or once settling begins, it looks again. */
    r->dirty = p.sign_leaf || (p.next_is_live && r->next_live_since == w->now);
    return true;
}

static void check_invariant(struct world *w, const struct replica *replicas, uint64_t seed)
{
    for (size_t i = 0; i < REPLICAS; i++)
        for (size_t s = 0; s < SERVERS; s++) {
            struct err err = {0};
            /* Verifying is slow: it is done when either side changed, and every tenth second. */
            bool same = w->checked[i][s] == w->server_version[s] * 1000003u + replicas[i].version;
            if (same && (w->now / SECOND) % 10)
                continue;
            w->checked[i][s] = w->server_version[s] * 1000003u + replicas[i].version;
            if (replicas[i].ready && !replicas[i].asleep &&
                authority_verify(replicas[i].leaf.cert, w->seen_by_server[s], HOST, w->now, &err) <
                    0)
                fail_msg("seed %llu, second %lld: replica %zu at server %zu: %s",
                         (unsigned long long)seed, (long long)((w->now - NOW) / SECOND), i, s,
                         err.message);
        }
}

static void tick(struct world *w, struct replica *replicas)
{
    w->now += SECOND;
    for (size_t i = 0; i < REPLICAS; i++) {
        struct replica *r = &replicas[i];
        if (rng_chance(&w->rng, r->asleep ? 15 : 1)) {
            r->asleep = !r->asleep;
            r->ready = false; /* the first act after waking decides anew */
            r->wake = 0;
        }
        if (r->asleep)
            continue;
        bool behind = !r->secret_read || r->bundle_version != w->bundle_version ||
                      !str_eq(r->secret.resource_version, w->secret.resource_version);
        if (behind && (rng_chance(&w->rng, 500) || ++r->lag >= LAG_MAX))
            replica_deliver(w, r);
        if ((r->dirty || w->now >= r->wake) && !replica_step(w, r))
            replica_restart(r);
    }
    for (size_t s = 0; s < SERVERS; s++)
        if (rng_chance(&w->rng, 300) || ++w->server_lag[s] >= LAG_MAX) {
            w->server_lag[s] = 0;
            w->server_version[s] = w->bundle_version;
            free(w->seen_by_server[s]);
            w->seen_by_server[s] = xstrdup(w->bundle);
        }
}

static void run_world(uint64_t seed)
{
    struct world w = {.now = NOW};
    struct replica replicas[REPLICAS] = {{.dirty = true}, {.dirty = true}, {.dirty = true}};
    rng_seed(&w.rng, seed);
    /* The chart's configuration has no caBundle: until all servers have seen the first one,
       nobody could be served, and kube-apiserver would not call. */
    unsigned ready_ticks = 0, ticks = 700;
    for (unsigned t = 0; t < ticks; t++) {
        tick(&w, replicas);
        if (t > 60)
            check_invariant(&w, replicas, seed);
        for (size_t i = 0; i < REPLICAS; i++)
            ready_ticks += replicas[i].ready;
    }
    /* Liveness: a CA of 300 s is replaced about every 215 s, and replicas are ready nearly always
       when they are awake. */
    if (w.promotions < 2 || w.crashes < 5 || ready_ticks < ticks * REPLICAS / 2)
        fail_msg("seed %llu: %u promotions, %u crashes, %u ready", (unsigned long long)seed,
                 w.promotions, w.crashes, ready_ticks);
    for (size_t i = 0; i < REPLICAS; i++)
        replica_restart(&replicas[i]);
    for (size_t s = 0; s < SERVERS; s++)
        free(w.seen_by_server[s]);
    ca_secret_release(&w.secret);
    free(w.bundle);
}

static void test_world(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        run_world(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_start),        cmocka_unit_test(test_nothing_known),
        cmocka_unit_test(test_rotation),           cmocka_unit_test(test_repairs),
        cmocka_unit_test(test_everything_expired), cmocka_unit_test(test_world),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
