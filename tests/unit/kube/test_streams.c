/*
 * Proves that watch lines and list items come out whole and the same whatever the cuts of the
 * stream are: every two-part cut, byte by byte, and random cuts. And that limits hold for one line
 * and for one item, and that what is cut off or malformed is told from what is complete.
 */
#include "test.h"

#include "base/rng.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/list_splitter.h"
#include "kube/watch_decoder.h"

struct log {
    struct buf out;
    int fail_at; /* fail on this piece; 0: never */
    int seen;
};

static int note(void *arg, const char *text, size_t n, struct err *err)
{
    struct log *l = arg;
    if (++l->seen == l->fail_at)
        return err_set(err, ERR_INTERNAL, "asked to fail");
    assert_true(buf_addc(&l->out, '<') && buf_add(&l->out, text, n) && buf_addc(&l->out, '>'));
    return 0;
}

/* Feeds in pieces: the first `first` bytes, then pieces of `step`. */
static int feed_lines(const char *text, size_t n, size_t first, size_t step, size_t max,
                      struct log *l, struct err *err)
{
    struct watch_decoder d;
    int failed = 0;
    watch_decoder_init(&d, max);
    for (size_t at = 0; at < n && !failed;) {
        size_t piece = at ? step : first;
        if (piece > n - at)
            piece = n - at;
        CLEANUP_FREE char *exact = xmalloc(piece); /* so that reading past it is found */
        memcpy(exact, text + at, piece);
        failed = watch_decoder_feed(&d, exact, piece, note, l, err);
        at += piece;
    }
    watch_decoder_release(&d);
    return failed;
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *in, *out;
        int fails;
    } rows[] = {
        {__LINE__, "", "", 0},
        {__LINE__, "a\n", "<a>", 0},
        {__LINE__, "a\nbc\n", "<a><bc>", 0},
        {__LINE__, "a\r\n\n\r\nb\n", "<a><b>", 0},
        {__LINE__, "a\nunended", "<a>", 0},
        {__LINE__, "12345678\n", "<12345678>", 0},
        /* what is too long is cut, and what follows comes all the same */
        {__LINE__, "a\n123456789\nb\n", "<a><12345678><b>", 0},
        {__LINE__, "a\n1234567890123456789\nb\n", "<a><12345678><b>", 0},
        {__LINE__, "a\n123456789", "<a>", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].in);
        for (size_t first = 1; first <= n + 1; first++) {
            for (size_t step = 1; step <= n + 1; step++) {
                struct log l = {.out = BUF_INIT(1000)};
                struct err err = {0};
                int status = feed_lines(rows[i].in, n, first, step, 8, &l, &err);
                CHECK_ROW(&rows[i], status == rows[i].fails);
                CHECK_ROW(&rows[i], strcmp(l.out.data, rows[i].out) == 0);
                CHECK_ROW(&rows[i], !status || err.kind == ERR_LIMIT);
                buf_release(&l.out);
            }
        }
    }
}

static void test_line_failure_ends_it(void **state)
{
    (void)state;
    struct log l = {.out = BUF_INIT(1000), .fail_at = 2};
    struct err err = {0};
    assert_int_equal(feed_lines("a\nb\nc\n", 6, 6, 6, 100, &l, &err), -1);
    assert_int_equal(err.kind, ERR_INTERNAL);
    assert_string_equal(l.out.data, "<a>");
    buf_release(&l.out);
}

static void test_reset_forgets(void **state)
{
    (void)state;
    struct watch_decoder d;
    struct log l = {.out = BUF_INIT(1000)};
    struct err err = {0};
    watch_decoder_init(&d, 100);
    assert_int_equal(watch_decoder_feed(&d, "half", 4, note, &l, &err), 0);
    watch_decoder_reset(&d);
    assert_int_equal(watch_decoder_feed(&d, "whole\n", 6, note, &l, &err), 0);
    assert_string_equal(l.out.data, "<whole>");
    watch_decoder_release(&d);
    buf_release(&l.out);
}

static void test_events(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *text;
        int type; /* -1: refused */
    } rows[] = {
        {__LINE__, "{\"type\":\"ADDED\",\"object\":{\"a\":1}}", WATCH_ADDED},
        {__LINE__, "{\"type\":\"MODIFIED\",\"object\":{}}", WATCH_MODIFIED},
        {__LINE__, "{\"object\":{},\"type\":\"DELETED\"}", WATCH_DELETED},
        {__LINE__, "{\"type\":\"BOOKMARK\",\"object\":{}}", WATCH_BOOKMARK},
        {__LINE__, "{\"type\":\"ERROR\",\"object\":{}}", WATCH_ERROR},
        {__LINE__, "{\"type\":\"added\",\"object\":{}}", -1},
        {__LINE__, "{\"type\":\"ADDED\",\"object\":[]}", -1},
        {__LINE__, "{\"type\":\"ADDED\"}", -1},
        {__LINE__, "{\"object\":{}}", -1},
        {__LINE__, "[]", -1},
        {__LINE__, "{\"type\":\"ADDED\",\"object\":{\"a\":\"", WATCH_ADDED}, /* cut by the limit */
        {__LINE__, "{\"type\":\"ADDED\",\"object\":{\"a\":\"\\u0000\"}}", WATCH_ADDED},
        {__LINE__, "{\"type\":\"ADDED\",\"object\":{}}{}", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct watch_event e = {0};
        struct err err = {0};
        int status = watch_event_read(rows[i].text, strlen(rows[i].text), &e, &err);
        CHECK_ROW(&rows[i], (status == 0) == (rows[i].type >= 0));
        CHECK_ROW(&rows[i], status == 0 ? (int)e.type == rows[i].type : err.kind == ERR_INVALID);
    }
}

/* --- Lists --- */

#define META "\"metadata\":{\"resourceVersion\":\"77\"}"

static int feed_list(const char *text, size_t n, size_t first, size_t step, size_t item_max,
                     struct log *l, struct list_meta *meta, struct err *err)
{
    struct list_splitter s;
    int failed = 0;
    list_splitter_init(&s, item_max);
    for (size_t at = 0; at < n && !failed;) {
        size_t piece = at ? step : first;
        if (piece > n - at)
            piece = n - at;
        CLEANUP_FREE char *exact = xmalloc(piece);
        memcpy(exact, text + at, piece);
        failed = list_splitter_feed(&s, exact, piece, note, l, err);
        at += piece;
    }
    if (!failed)
        failed = list_splitter_end(&s, meta, err);
    list_splitter_release(&s);
    return failed;
}

static void test_lists(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *in, *out, *version, *token; /* version NULL: refused */
    } rows[] = {
        {__LINE__, "{" META ",\"items\":[]}", "", "77", NULL},
        {__LINE__, "{" META ",\"items\":null}", "", "77", NULL},
        {__LINE__, "{" META "}", "", "77", NULL},
        {__LINE__, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\"," META ",\"items\":[{\"a\":1},{}]}",
         "<{\"a\":1}><{}>", "77", NULL},
        {__LINE__, " { " META " , \"items\" : [ {\"a\": [1, {\"b\":2}]} ,\n{\"c\":3} ] }\n",
         "<{\"a\": [1, {\"b\":2}]}><{\"c\":3}>", "77", NULL},
        {__LINE__,
         "{\"items\":[{\"s\":\"}]\\\"{\\\\\"}],\"metadata\":{\"continue\":\"to\\\"ken\","
         "\"resourceVersion\":\"9\"}}",
         "<{\"s\":\"}]\\\"{\\\\\"}>", "9", "to\"ken"},
        {__LINE__, "{\"x\":1,\"y\":true,\"z\":\"items\"," META ",\"w\":[[],{}]}", "", "77", NULL},
        {__LINE__, "{\"\\u0069tems\":[{}]," META "}", "", "77", NULL},
        {__LINE__, "{\"itemsandmuchmoretext\":[{}]," META "}", "", "77", NULL},
        {__LINE__, "{\"metadata\":{\"resourceVersion\":\"1\",\"continue\":\"\"},\"items\":[]}", "",
         "1", NULL},
        /* cut, or malformed */
        {__LINE__, "", "", NULL, NULL},
        {__LINE__, "{" META ",\"items\":[{\"a\":1}", "<{\"a\":1}>", NULL, NULL},
        {__LINE__, "{" META ",\"items\":[{\"a\":1}]", "<{\"a\":1}>", NULL, NULL},
        {__LINE__, "{" META ",\"items\":[{\"a\":1},", "<{\"a\":1}>", NULL, NULL},
        {__LINE__, "{" META ",\"items\":[{\"a\":1},]}", "<{\"a\":1}>", NULL, NULL},
        {__LINE__, "{" META ",\"items\":[1]}", "", NULL, NULL},
        {__LINE__, "{" META ",\"items\":[{}] \"x\"}", "<{}>", NULL, NULL},
        {__LINE__, "{" META ",\"items\":[],\"items\":[]}", "", NULL, NULL},
        {__LINE__, "{" META "," META "}", "", NULL, NULL},
        {__LINE__, "{" META ",}", "", NULL, NULL},
        {__LINE__, "{" META "}x", "", NULL, NULL},
        {__LINE__, "{" META "}{}", "", NULL, NULL},
        {__LINE__, "{\"items\":[]}", "", NULL, NULL},
        {__LINE__, "{\"items\":[],\"metadata\":{}}", "", NULL, NULL},
        {__LINE__, "{\"items\":[],\"metadata\":{\"resourceVersion\":7}}", "", NULL, NULL},
        {__LINE__, "{\"items\":[],\"metadata\":7}", "", NULL, NULL},
        {__LINE__, "{\"items\"[]}", "", NULL, NULL},
        {__LINE__, "{items:[]}", "", NULL, NULL},
        {__LINE__, "{\"a\":,\"b\":1}", "", NULL, NULL},
        {__LINE__, "[]", "", NULL, NULL},
        {__LINE__, "404 page not found", "", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].in);
        for (size_t first = 1; first <= n + 1; first++) {
            for (size_t step = 1; step <= n + 1; step += n + 1) {
                CLEANUP_LIST_META struct list_meta meta = {0};
                struct log l = {.out = BUF_INIT(1000)};
                struct err err = {0};
                int status = feed_list(rows[i].in, n, first, step, 100, &l, &meta, &err);
                CHECK_ROW(&rows[i], (status == 0) == (rows[i].version != NULL));
                CHECK_ROW(&rows[i], strcmp(l.out.data, rows[i].out) == 0);
                CHECK_ROW(&rows[i], str_eq(meta.resource_version, rows[i].version));
                CHECK_ROW(&rows[i], str_eq(meta.continue_token, rows[i].token));
                CHECK_ROW(&rows[i], status == 0 || err.kind == ERR_INVALID);
                buf_release(&l.out);
            }
        }
    }
}

static void test_list_limits(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT(1 * MIB);
    CLEANUP_LIST_META struct list_meta meta = {0};
    struct log l = {.out = BUF_INIT(1 * MIB)};
    struct err err = {0};
    /* Of items that are one byte longer than may be, that byte is left out. */
    buf_adds(&text, "{" META ",\"items\":[");
    for (unsigned i = 0; i < 100; i++)
        buf_adds(&text, i ? ",{\"a\":\"0123456789\"}" : "{\"a\":\"0123456789\"}");
    buf_adds(&text, "]}");
    assert_int_equal(feed_list(text.data, text.len, 7, 13, 18, &l, &meta, &err), 0);
    assert_int_equal(l.seen, 100);
    list_meta_release(&meta);
    buf_clear(&l.out);
    assert_int_equal(feed_list(text.data, text.len, 7, 13, 17, &l, &meta, &err), 0);
    assert_int_equal(l.seen, 200);
    assert_int_equal(l.out.len, 100 * 19); /* each cut, none lost */

    buf_clear(&text);
    buf_adds(&text, "{" META ",\"items\":[{\"a\":");
    for (unsigned i = 0; i < 50000; i++)
        buf_addc(&text, '[');
    for (unsigned i = 0; i < 50000; i++)
        buf_addc(&text, ']');
    buf_adds(&text, "},{}]}");
    list_meta_release(&meta);
    assert_int_equal(feed_list(text.data, text.len, 7, 13, 1 * MIB, &l, &meta, &err), 0);
    assert_int_equal(l.seen, 202);
    buf_release(&l.out);
}

/* A realistic list in random cuts: always the same items, each of them valid JSON. */
static void test_random_cuts(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 11);
    CLEANUP_BUF struct buf text = BUF_INIT(1 * MIB);
    buf_adds(&text, "{\"kind\":\"List\"," META ",\"items\":[");
    for (unsigned i = 0; i < 50; i++)
        buf_addf(&text, "%s{\"metadata\":{\"name\":\"o%u\",\"labels\":{\"a\":\"\\\"]}%u\"}}}",
                 i ? ", " : "", i, i);
    buf_adds(&text, "]}");
    for (unsigned round = 0; round < 500; round++) {
        struct list_splitter s;
        struct log l = {.out = BUF_INIT(1 * MIB)};
        struct err err = {0};
        CLEANUP_LIST_META struct list_meta meta = {0};
        list_splitter_init(&s, 1000);
        for (size_t at = 0; at < text.len;) {
            size_t piece = (size_t)rng_range(&rng, 1, 60);
            if (piece > text.len - at)
                piece = text.len - at;
            assert_int_equal(list_splitter_feed(&s, text.data + at, piece, note, &l, &err), 0);
            at += piece;
        }
        assert_int_equal(list_splitter_end(&s, &meta, &err), 0);
        assert_int_equal(l.seen, 50);
        assert_non_null(strstr(l.out.data, "<{\"metadata\":{\"name\":\"o49\""));
        list_splitter_release(&s);
        buf_release(&l.out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),         cmocka_unit_test(test_line_failure_ends_it),
        cmocka_unit_test(test_reset_forgets), cmocka_unit_test(test_events),
        cmocka_unit_test(test_lists),         cmocka_unit_test(test_list_limits),
        cmocka_unit_test(test_random_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
