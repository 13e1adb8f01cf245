/*
 * Proves that the certificates made here are what a strict TLS client accepts and nothing more: the
 * names, the purpose, the time, the chain; and that damaged text is answered with an error. The
 * expectations are RFC 5280's and those of Go's crypto/x509 (SAN only, no common name).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "certs/authority.h"
#include "certs/secret.h"
#include "json/json.h"

#define NOW 1790000000000LL
#define HOUR 3600000LL
#define DAY (24 * HOUR)

static const char *const names[] = {"wukong.ns.svc", "wukong.ns", "wukong",
                                    "wukong.ns.svc.cluster.local", "127.0.0.1"};

static struct keypair new_ca(int64_t now, int64_t life)
{
    struct keypair ca = {0};
    struct err err = {0};
    assert_int_equal(authority_new_ca("test ca", now, life, &ca, &err), 0);
    return ca;
}

static struct keypair new_leaf(const struct keypair *ca, int64_t now, int64_t life)
{
    struct keypair leaf = {0};
    struct err err = {0};
    assert_int_equal(authority_sign_leaf(ca, names, ARRAY_LEN(names), now, life, &leaf, &err), 0);
    return leaf;
}

static void test_verify(void **state)
{
    (void)state;
    CLEANUP_KEYPAIR struct keypair ca = new_ca(NOW, 30 * DAY), other = new_ca(NOW, 30 * DAY);
    CLEANUP_KEYPAIR struct keypair leaf = new_leaf(&ca, NOW, DAY);
    CLEANUP_FREE char *both = xasprintf("%s%s", other.cert, ca.cert);
    const struct {
        const char *what, *chain, *bundle, *host;
        int64_t at;
        bool ok;
    } rows[] = {
        {"service name", leaf.cert, ca.cert, "wukong.ns.svc", NOW, true},
        {"short name", leaf.cert, ca.cert, "wukong", NOW, true},
        {"address", leaf.cert, ca.cert, "127.0.0.1", NOW, true},
        {"clock slightly behind", leaf.cert, ca.cert, "wukong.ns.svc", NOW - 60000, true},
        {"in a bundle of two", leaf.cert, both, "wukong.ns.svc", NOW, true},
        {"last second", leaf.cert, ca.cert, "wukong.ns.svc", NOW + DAY - 1000, true},
        {"expired", leaf.cert, ca.cert, "wukong.ns.svc", NOW + DAY + 1000, false},
        {"not yet valid", leaf.cert, ca.cert, "wukong.ns.svc", NOW - HOUR, false},
        {"another name", leaf.cert, ca.cert, "wukong.other.svc", NOW, false},
        {"another address", leaf.cert, ca.cert, "127.0.0.2", NOW, false},
        {"another CA", leaf.cert, other.cert, "wukong.ns.svc", NOW, false},
        {"CA as leaf", ca.cert, ca.cert, "wukong.ns.svc", NOW, false},
        {"the leaf as its own anchor", leaf.cert, leaf.cert, "wukong.ns.svc", NOW, true},
        {"empty bundle", leaf.cert, "", "wukong.ns.svc", NOW, false},
        {"garbage bundle", leaf.cert, "-----BEGIN CERTIFICATE-----\nAAAA\n", "wukong", NOW, false},
        {"garbage leaf", "x", ca.cert, "wukong.ns.svc", NOW, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {0};
        bool ok =
            authority_verify(rows[i].chain, rows[i].bundle, rows[i].host, rows[i].at, &err) == 0;
        if (ok != rows[i].ok)
            fail_msg("%s: %s", rows[i].what, err.message);
    }
}

static void test_life(void **state)
{
    (void)state;
    CLEANUP_KEYPAIR struct keypair ca = new_ca(NOW, DAY);
    CLEANUP_KEYPAIR struct keypair leaf = new_leaf(&ca, NOW, 7 * DAY);
    struct cert_facts f, g;
    struct err err = {0};
    assert_int_equal(authority_facts(ca.cert, &f, &err), 0);
    assert_int_equal(f.not_after_ms, NOW + DAY);
    assert_int_equal(f.not_before_ms, NOW - AUTHORITY_BACKDATE_MS);
    assert_int_equal(authority_facts(leaf.cert, &g, &err), 0);
    assert_int_equal(g.not_after_ms, f.not_after_ms);
    assert_string_not_equal(f.fingerprint, g.fingerprint);
    assert_true(authority_issued(ca.cert, leaf.cert));
    assert_false(authority_issued(leaf.cert, ca.cert));
}

static void test_pairs(void **state)
{
    (void)state;
    CLEANUP_KEYPAIR struct keypair ca = new_ca(NOW, DAY), other = new_ca(NOW, DAY);
    struct err err = {0};
    assert_int_equal(authority_check_pair(&ca, &err), 0);
    struct keypair mixed = {.cert = ca.cert, .key = other.key};
    assert_int_equal(authority_check_pair(&mixed, &err), -1);
    struct keypair half = {.cert = ca.cert};
    assert_int_equal(authority_check_pair(&half, &err), -1);
    struct keypair result = {0};
    assert_int_equal(authority_sign_leaf(&mixed, names, 1, NOW, DAY, &result, &err), -1);
    assert_null(result.cert);
}

static void test_bundles(void **state)
{
    (void)state;
    CLEANUP_KEYPAIR struct keypair a = new_ca(NOW, DAY), b = new_ca(NOW, 2 * DAY);
    CLEANUP_FREE char *ab = xasprintf("%s%s", a.cert, b.cert);
    CLEANUP_FREE char *ba = xasprintf("# a comment\n%s\n\n%s", b.cert, a.cert);
    CLEANUP_FREE char *cut = xasprintf("%s%.200s", a.cert, b.cert);
    assert_int_equal(authority_bundle_count(ab), 2);
    assert_int_equal(authority_bundle_count(""), 0);
    assert_int_equal(authority_bundle_count(cut), -1);
    assert_true(authority_bundle_equal(ab, ba));
    assert_false(authority_bundle_equal(ab, a.cert));
    assert_false(authority_bundle_equal(a.cert, ab));
    assert_true(authority_bundle_has(ba, a.cert));
    assert_false(authority_bundle_has(b.cert, a.cert));
    assert_int_equal(authority_first_expiry(ba), NOW + DAY);
    assert_true(authority_first_expiry("") == INT64_MAX);
    size_t count = 0;
    char **texts = authority_split(ba, &count);
    assert_int_equal(count, 2);
    assert_string_equal(texts[0], b.cert);
    assert_string_equal(texts[1], a.cert);
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
    /* The bound: one certificate too many is no bundle. */
    CLEANUP_BUF struct buf many = BUF_INIT(LIMIT_PEM_BYTES);
    for (int i = 0; i < AUTHORITY_BUNDLE_MAX; i++)
        buf_adds(&many, a.cert);
    assert_int_equal(authority_bundle_count(many.data), AUTHORITY_BUNDLE_MAX);
    buf_adds(&many, b.cert);
    assert_int_equal(authority_bundle_count(many.data), -1);
}

/* Every one-byte change and every cut of a PEM text is survived; what is still accepted is a
   certificate, so its facts can be read. */
static void test_damage(void **state)
{
    (void)state;
    CLEANUP_KEYPAIR struct keypair ca = new_ca(NOW, DAY);
    size_t n = strlen(ca.cert);
    for (size_t i = 0; i < n; i++) {
        CLEANUP_FREE char *text = xstrdup(ca.cert);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        struct cert_facts facts;
        struct err err = {0};
        bool readable = authority_facts(text, &facts, &err) == 0;
        assert_true(readable == (authority_bundle_count(text) == 1) || !readable);
        text[i] = '\0';
        assert_true(authority_facts(text, &facts, &err) < 0 || i >= n - 1);
    }
}

static void test_keys(void **state)
{
    (void)state;
    CLEANUP_FREE char *key = NULL, *public = NULL, *again = NULL;
    struct err err = {0};
    assert_int_equal(authority_new_key(&key, &public, &err), 0);
    assert_true(str_starts(key, "-----BEGIN PRIVATE KEY-----"));
    assert_true(str_starts(public, "-----BEGIN PUBLIC KEY-----"));
    assert_int_equal(authority_public_of(key, &again, &err), 0);
    assert_string_equal(public, again);
    free(TAKE(again));
    assert_int_equal(authority_public_of(public, &again, &err), -1);
}

static void test_secret_round_trip(void **state)
{
    (void)state;
    struct ca_secret s = {.exists = true, .uid = xstrdup("u"), .resource_version = xstrdup("7")};
    s.current = new_ca(NOW, DAY);
    s.next = new_ca(NOW, DAY);
    s.previous = xstrdup(s.next.cert);
    CLEANUP_FREE char *public = NULL;
    struct err err = {0};
    assert_int_equal(authority_new_key(&s.stamp_key, &public, &err), 0);
    CLEANUP_BUF struct buf out = BUF_INIT(LIMIT_OBJECT_BYTES);
    ca_secret_write(&s, "ns", "name", &out);
    CLEANUP_JSON cJSON *tree = NULL;
    assert_int_equal(json_parse(out.data, out.len, false, &tree, &err), 0);
    assert_string_equal(json_str(tree, "metadata.resourceVersion"), "7");
    CLEANUP_CA_SECRET struct ca_secret back = {0};
    ca_secret_read(json_get(tree, "data"), "u", "7", &back);
    assert_string_equal(back.current.cert, s.current.cert);
    assert_string_equal(back.current.key, s.current.key);
    assert_string_equal(back.next.key, s.next.key);
    assert_string_equal(back.previous, s.previous);
    assert_string_equal(back.stamp_key, s.stamp_key);
    assert_false(back.damaged);
    ca_secret_release(&s);
}

static void test_secret_damage(void **state)
{
    (void)state;
    CLEANUP_KEYPAIR struct keypair a = new_ca(NOW, DAY), b = new_ca(NOW, DAY);
    CLEANUP_FREE char *cert = base64_encode_text(a.cert), *key = base64_encode_text(b.key);
    const char *const rows[] = {
        "null",
        "{\"ca.crt\":5}",
        "{\"ca.crt\":\"%%%\",\"ca.key\":\"eA==\"}",
        "{\"previous.crt\":\"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==\"}",
        "{\"stamp.key\":\"eA==\"}",
    };
    for (size_t i = 0; i <= ARRAY_LEN(rows); i++) {
        CLEANUP_FREE char *text =
            i < ARRAY_LEN(rows) ? xstrdup(rows[i])
                                : xasprintf("{\"ca.crt\":\"%s\",\"ca.key\":\"%s\"}", cert, key);
        CLEANUP_JSON cJSON *tree = NULL;
        struct err err = {0};
        assert_int_equal(json_parse(text, strlen(text), false, &tree, &err), 0);
        CLEANUP_CA_SECRET struct ca_secret s = {0};
        ca_secret_read(tree, "u", "1", &s);
        assert_null(s.current.cert);
        assert_null(s.previous);
        assert_null(s.stamp_key);
        assert_int_equal(s.damaged, i > 0);
    }
    assert_null(base64_decode_text("AAAA")); /* holds NUL bytes */
    assert_null(base64_decode_text("eA="));
    assert_null(base64_decode_text(""));
}

/* A stamp outlives the key that made it; the newest key comes first, none twice, few in all. */
static void test_stamp_keys(void **state)
{
    (void)state;
    char *public[6] = {0};
    struct err err = {0};
    CLEANUP_BUF struct buf keys = BUF_INIT(LIMIT_PEM_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(public); i++) {
        CLEANUP_FREE char *private = NULL;
        assert_int_equal(authority_new_key(&private, &public[i], &err), 0);
        CLEANUP_FREE char *before = xstrdup(keys.data);
        buf_clear(&keys);
        stamp_keys_join(public[i], before, &keys);
        /* Again, as after a restart: nothing changes. */
        CLEANUP_BUF struct buf again = BUF_INIT(LIMIT_PEM_BYTES);
        stamp_keys_join(public[i], keys.data, &again);
        assert_string_equal(again.data, keys.data);
    }
    CLEANUP_FREE char *wanted = xasprintf("%s%s%s%s", public[5], public[4], public[3], public[2]);
    assert_string_equal(keys.data, wanted);
    static const char *const nonsense[] = {"", "x", "-----BEGIN PUBLIC KEY-----",
                                           "-----END PUBLIC "
                                           "KEY-----"};
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        buf_clear(&keys);
        stamp_keys_join(public[0], nonsense[i], &keys);
        assert_string_equal(keys.data, public[0]);
    }
    for (size_t i = 0; i < ARRAY_LEN(public); i++)
        free(public[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stamp_keys),    cmocka_unit_test(test_verify),
        cmocka_unit_test(test_life),          cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_bundles),       cmocka_unit_test(test_damage),
        cmocka_unit_test(test_keys),          cmocka_unit_test(test_secret_round_trip),
        cmocka_unit_test(test_secret_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
