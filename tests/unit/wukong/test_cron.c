/*
 * Proves that schedules are read and answered as CronJob does (robfig/cron v3), with the clock
 * changes of real zones, and that time zone files of any content are read or refused, never
 * crashed on. The times are those of the zones' published rules.
 */
#include "calendar/cron.h"
#include "support.h"

static int64_t at(const char *rfc3339)
{
    int64_t ms = 0;
    assert_true(str_to_time_ms(rfc3339, &ms));
    return ms / 1000;
}

struct next_row {
    const char *schedule, *zone, *after, *next; /* next NULL: never */
};

static void test_next(void **state)
{
    (void)state;
    static const struct next_row rows[] = {
        {"* * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
        {"*/15 * * * *", "UTC", "2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"},
        {"0 22 * * *", "Asia/Shanghai", "2026-01-01T00:00:00Z", "2026-01-01T14:00:00Z"},
        {"0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", NULL},
        {"0 0 1 jan,Jul *", "UTC", "2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z"},
        {"0 9 * * MON-FRI", "UTC", "2026-01-02T09:00:00Z", "2026-01-05T09:00:00Z"},
        /* Day of month or of week when both are given: Friday the 2nd comes before the 13th. */
        {"0 0 13 * 5", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
        {"@daily", "Europe/Berlin", "2026-06-01T00:00:00Z", "2026-06-01T22:00:00Z"},
        {"@every 90m", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T01:30:00Z"},
        /* Berlin, 29 March 2026: 02:00 to 03:00 does not exist. */
        {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"},
        /* Berlin, 25 October 2026: 02:30 comes twice, and so does the activation. */
        {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
        /* Beyond the file's last change the rule in its footer counts. */
        {"0 12 * * *", "America/New_York", "2080-07-01T00:00:00Z", "2080-07-01T16:00:00Z"},
        {"0 12 * * *", "Australia/Sydney", "2080-01-01T10:00:00Z", "2080-01-02T01:00:00Z"},
        {"0 12 * * *", "Africa/Casablanca", "2026-01-01T00:00:00Z", "2026-01-01T11:00:00Z"},
        /* A day that the zone left out. */
        {"0 0 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z"},
        {"@monthly", "Pacific/Apia", "2011-12-02T00:00:00Z", "2011-12-31T10:00:00Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cron c;
        struct err err;
        CLEANUP_ZONE struct zone *zone = NULL;
        int64_t next = 0;
        assert_int_equal(zone_load(rows[i].zone, &zone, &err), 0);
        assert_int_equal(cron_parse(rows[i].schedule, &c, &err), 0);
        bool found = cron_next(&c, zone, at(rows[i].after), &next);
        char text[TIME_TEXT_MAX] = "never";
        if (found)
            time_to_str(next * 1000, false, text);
        if (!str_eq(text, str_or(rows[i].next, "never")))
            fail_msg("%s in %s after %s: %s", rows[i].schedule, rows[i].zone, rows[i].after, text);
    }
}

static void test_parse(void **state)
{
    (void)state;
    static const char *const good[] = {"? ? ? ? ?",
                                       "0-59/5 0,12 1-31 1-12 0-6",
                                       "+5 1 1 1 1",
                                       ", * * * *",
                                       "*-9 * * * *",
                                       "5/10 * * * *",
                                       "0\t0 1  1 *",
                                       "@annually",
                                       "@midnight",
                                       "@hourly",
                                       "@weekly",
                                       "0\xc2\xa0"
                                       "0 * * *"};
    static const char *const bad[] = {"",
                                      " ",
                                      "* * * *",
                                      "* * * * * *",
                                      "60 * * * *",
                                      "* 24 * * *",
                                      "* * 0 * *",
                                      "* * 32 * *",
                                      "* * * 13 *",
                                      "* * * * 7",
                                      "5-1 * * * *",
                                      "1-2-3 * * * *",
                                      "*/0 * * * *",
                                      "1/2/3 * * * *",
                                      "a * * * *",
                                      "* * * foo *",
                                      "1- * * * *",
                                      "*/a * * * *",
                                      "*/ * * * *",
                                      "@",
                                      "@sometimes",
                                      "@every",
                                      "@every x",
                                      "TZ=UTC 0 0 * * *",
                                      "CRON_TZ=UTC 0 0 * * *",
                                      "99999999999999999999 * * * *"};
    struct cron c;
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (cron_parse(good[i], &c, &err) < 0)
            fail_msg("%s: %s", good[i], err.message);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (cron_parse(bad[i], &c, &err) == 0 || !*err.message)
            fail_msg("%s", bad[i]);
    char longest[CRON_TEXT_MAX + 2];
    memset(longest, ' ', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(cron_parse(longest, &c, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
}

static void test_window(void **state)
{
    (void)state;
    struct cron c, never;
    struct err err;
    struct window_state s;
    const int64_t hour = 3600 * 1000;
    assert_int_equal(cron_parse("0 22 * * *", &c, &err), 0);
    assert_int_equal(cron_parse("0 0 30 2 *", &never, &err), 0);
    const struct {
        const char *now;
        bool open;
        const char *until;
    } rows[] = {
        {"2026-01-01T21:59:59Z", false, "2026-01-01T22:00:00Z"},
        {"2026-01-01T22:00:00Z", true, "2026-01-02T04:00:00Z"},
        {"2026-01-02T03:59:59Z", true, "2026-01-02T04:00:00Z"},
        {"2026-01-02T04:00:00Z", false, "2026-01-02T22:00:00Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(cron_window(&c, NULL, 6 * hour, at(rows[i].now) * 1000, &s));
        char until[TIME_TEXT_MAX];
        time_to_str(s.until_ms, false, until);
        if (s.open != rows[i].open || !str_eq(until, rows[i].until))
            fail_msg("%s: %d until %s", rows[i].now, s.open, until);
    }
    /* Longer than the time between two openings: always open. */
    assert_true(cron_window(&c, NULL, 168 * hour, at("2026-01-01T12:00:00Z") * 1000, &s));
    assert_true(s.open);
    assert_false(cron_window(&never, NULL, hour, at("2026-01-01T12:00:00Z") * 1000, &s));
}

/* The last activation found by going through all of them. */
static bool walked(const struct cron *c, const struct zone *zone, int64_t duration_s, int64_t now_s,
                   struct window_state *ret)
{
    int64_t from = now_s - duration_s, last = INT64_MIN, at_s;
    *ret = (struct window_state){0};
    while (cron_next(c, zone, from, &at_s) && at_s <= now_s)
        last = from = at_s;
    if (last != INT64_MIN && last + duration_s > now_s) {
        *ret = (struct window_state){true, (last + duration_s) * 1000};
        return true;
    }
    if (!cron_next(c, zone, now_s, &at_s))
        return false;
    ret->until_ms = at_s * 1000;
    return true;
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Around changes of the clock too; and a dense schedule costs no more than the first step of a walk
   through it, which took ten thousand. */
static void test_window_backwards(void **state)
{
    (void)state;
    static const char *const schedules[] = {"* * * * *",    "*/7 * * * *",  "30 2 * * *",
                                            "0 22 * * 1-5", "0 0 1 * *",    "15,45 1-3 * * 0",
                                            "0 0 29 2 *",   "59 23 31 12 *"};
    static const char *const names[] = {"UTC", "Europe/Berlin", "America/New_York",
                                        "Australia/Lord_Howe"};
    static const char *const times[] = {"2026-03-29T01:30:10Z", "2026-10-25T01:30:00Z",
                                        "2026-03-08T07:00:59Z", "2026-11-01T06:30:00Z",
                                        "2026-04-04T15:15:00Z", "2028-02-29T00:00:00Z"};
    static const int64_t hours[] = {1, 6, 168};
    for (size_t n = 0; n < ARRAY_LEN(schedules) * ARRAY_LEN(names); n++) {
        struct cron c;
        struct err err;
        CLEANUP_ZONE struct zone *zone = NULL;
        assert_int_equal(cron_parse(schedules[n / ARRAY_LEN(names)], &c, &err), 0);
        if (zone_load(names[n % ARRAY_LEN(names)], &zone, &err) < 0)
            continue;
        for (size_t i = 0; i < ARRAY_LEN(times) * ARRAY_LEN(hours); i++) {
            struct window_state wanted, got;
            int64_t now_s = at(times[i / ARRAY_LEN(hours)]);
            int64_t duration_s = hours[i % ARRAY_LEN(hours)] * 3600;
            bool fires = walked(&c, zone, duration_s, now_s, &wanted);
            assert_int_equal(fires, cron_window(&c, zone, duration_s * 1000, now_s * 1000, &got));
            if (wanted.open != got.open || wanted.until_ms != got.until_ms)
                fail_msg("%s in %s at %s", schedules[n / ARRAY_LEN(names)],
                         names[n % ARRAY_LEN(names)], times[i / ARRAY_LEN(hours)]);
        }
    }
}

static void test_window_cost(void **state)
{
    (void)state;
    struct cron c;
    struct err err;
    struct window_state s;
    CLEANUP_ZONE struct zone *zone = NULL;
    assert_int_equal(cron_parse("* * * * *", &c, &err), 0);
    assert_int_equal(zone_load("America/New_York", &zone, &err), 0);
    int64_t now_s = at("2026-01-01T12:00:30Z");
    double began = cpu_s();
    (void)walked(&c, zone, 168 * 3600, now_s, &s);
    double walk = cpu_s() - began, best = 1;
    for (int i = 0; i < 10; i++) {
        began = cpu_s();
        assert_true(cron_window(&c, zone, 168 * INT64_C(3600000), now_s * 1000, &s));
        double took = cpu_s() - began;
        best = took < best ? took : best;
    }
    print_message("a dense window: %.0f us, walked through %.0f us\n", best * 1e6, walk * 1e6);
    assert_true(best < walk / 20);
}

static void test_zone_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum err_kind kind; /* ERR_NONE: loads */
    } rows[] = {
        {"", ERR_NONE},
        {"UTC", ERR_NONE},
        {"Asia/Shanghai", ERR_NONE},
        {"Etc/GMT+5", ERR_NONE},
        {"Local", ERR_INVALID},
        {"local", ERR_INVALID},
        {"/UTC", ERR_INVALID},
        {"../UTC", ERR_INVALID},
        {"a\\b", ERR_NOT_FOUND},
        {"\\UTC", ERR_INVALID},
        {"Mars/Phobos", ERR_NOT_FOUND},
        {"Europe", ERR_NOT_FOUND},
        {"zone.tab", ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {0};
        CLEANUP_ZONE struct zone *zone = NULL;
        int result = zone_load(rows[i].name, &zone, &err);
        if ((result == 0) != (rows[i].kind == ERR_NONE) || err.kind != rows[i].kind)
            fail_msg("%s: %s", rows[i].name, err.message);
    }
}

/* Every byte of a real file cut off or changed: read or refused. */
static void test_damaged_files(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf file = BUF_INIT(ZONE_FILE_BYTES);
    struct err err;
    assert_int_equal(buf_read_file(&file, ZONE_DIRECTORY "/America/Havana", &err), 0);
    for (size_t n = 0; n < file.len; n++) {
        CLEANUP_FREE char *copy = xcalloc(1, n + 1);
        memcpy(copy, file.data, n);
        CLEANUP_ZONE struct zone *zone = NULL;
        if (zone_parse(copy, n, &zone, &err) == 0)
            (void)zone_offset(zone, 4000000000, NULL, NULL);
    }
    for (size_t n = 0; n < file.len; n++) {
        for (int change = 0; change < 3; change++) {
            CLEANUP_FREE char *copy = xcalloc(1, file.len);
            memcpy(copy, file.data, file.len);
            copy[n] = (char)(change == 0 ? 0 : change == 1 ? 0xff : copy[n] ^ 0x10);
            CLEANUP_ZONE struct zone *zone = NULL;
            if (zone_parse(copy, file.len, &zone, &err) == 0)
                for (int64_t t = -4000000000; t < 8000000000; t += 500000000)
                    (void)civil_from_unix(zone, t);
        }
    }
    CLEANUP_ZONE struct zone *zone = NULL;
    CLEANUP_FREE char *big = xcalloc(1, ZONE_FILE_BYTES + 1);
    assert_int_equal(zone_parse(big, ZONE_FILE_BYTES + 1, &zone, &err), -1);
}

/* A file of our own: one fixed type, then whatever POSIX rule its footer has. */
static void test_footer_rules(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *time;
        int32_t offset;
    } rows[] = {
        {"<+03>-3", "2026-01-01T00:00:00Z", 3 * 3600},
        {"EST5EDT", "2026-07-01T00:00:00Z", -4 * 3600},
        {"EST5EDT", "2026-01-01T00:00:00Z", -5 * 3600},
        {"EST5EDT,M3.2.0,M11.1.0", "2026-03-08T06:59:59Z", -5 * 3600},
        {"EST5EDT,M3.2.0,M11.1.0", "2026-03-08T07:00:00Z", -4 * 3600},
        {"AAA-1BBB,J60,J300", "2028-02-29T23:00:00Z", 3600},
        {"AAA-1BBB,J60,J300", "2028-03-01T02:00:00Z", 7200},
        {"AAA-1BBB,59/0,300/25:30:15", "2028-02-29T00:00:00Z", 7200},
        {"AAA3BBB2:30:10,M10.1.0/-1,M3.5.6/24", "2026-12-01T00:00:00Z", -(2 * 3600 + 30 * 60 + 10)},
        {"AAA3BBB2:30:10,M10.1.0/-1,M3.5.6/24", "2026-06-01T00:00:00Z", -3 * 3600},
        /* Not a rule: the file's own type stays. */
        {"AB1", "2026-01-01T00:00:00Z", 60},
        {"AAA", "2026-01-01T00:00:00Z", 60},
        {"AAA1BBB,M13.1.0,M3.1.0", "2026-01-01T00:00:00Z", 60},
        {"AAA1BBB,M3.1.0", "2026-01-01T00:00:00Z", 60},
        {"AAA1BBB,J0,J1", "2026-01-01T00:00:00Z", 60},
        {"AAA1BBB,366,1", "2026-01-01T00:00:00Z", 60},
        {"AAA1BBB,1/a,1", "2026-01-01T00:00:00Z", 60},
        {"AAA1BBB,1,1x", "2026-01-01T00:00:00Z", 60},
        {"<A", "2026-01-01T00:00:00Z", 60},
        {"AAA169", "2026-01-01T00:00:00Z", 60},
        {"AAA1:60", "2026-01-01T00:00:00Z", 60},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static const char header[20] = "TZif2";
        static const char counts[24] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                        0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4};
        static const char type[10] = {0, 0, 0, 60, 0, 0, 'x', 'x', 'x', 0};
        CLEANUP_BUF struct buf b = BUF_INIT(4096);
        for (int block = 0; block < 2; block++) {
            buf_add(&b, header, sizeof(header));
            buf_add(&b, counts, sizeof(counts));
            buf_add(&b, type, sizeof(type));
        }
        buf_addf(&b, "\n%s\n", rows[i].rule);
        CLEANUP_ZONE struct zone *zone = NULL;
        struct err err;
        assert_int_equal(zone_parse(b.data, b.len, &zone, &err), 0);
        int32_t offset = zone_offset(zone, at(rows[i].time), NULL, NULL);
        if (offset != rows[i].offset)
            fail_msg("%s at %s: %d", rows[i].rule, rows[i].time, offset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),          cmocka_unit_test(test_parse),
        cmocka_unit_test(test_window),        cmocka_unit_test(test_window_backwards),
        cmocka_unit_test(test_window_cost),   cmocka_unit_test(test_zone_names),
        cmocka_unit_test(test_damaged_files), cmocka_unit_test(test_footer_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
