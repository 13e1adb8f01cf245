/*
 * Proves that each of the webhook's metrics moves by what it is said to count, and that
 * docs/admin/metrics.md names what the webhook exports and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kube/metrics.h"
#include "webhook/metrics.h"

#include "../metrics_page.h"

static int reset(void **state)
{
    (void)state;
    metric_reset_all();
    webhook_metrics_register();
    kube_metrics_register();
    return 0;
}

/* The line must be there, whole. */
static void expect(const char *line)
{
    CLEANUP_BUF struct buf text = BUF_INIT(1 * MIB);
    metric_write_all(&text);
    CLEANUP_FREE char *whole = xasprintf("\n%s\n", line);
    if (!strstr(text.data, whole))
        fail_msg("no line %s in\n%s", line, text.data);
}

static void test_reviews(void **state)
{
    (void)state;
    webhook_count_review("validate", "CREATE", "invalid", "Invalid", 0.002, false);
    webhook_count_review("validate", "CREATE", "invalid", "Invalid", 0.004, false);
    webhook_count_review("mutate", "CREATE", "allowed", "Admitted", 0.3, true);
    expect("wukong_admission_reviews_total{endpoint=\"validate\",operation=\"CREATE\","
           "verdict=\"invalid\",reason=\"Invalid\"} 2");
    expect("wukong_admission_review_duration_seconds_count{endpoint=\"validate\","
           "lookups=\"none\"} 2");
    expect("wukong_admission_review_duration_seconds_bucket{endpoint=\"validate\","
           "lookups=\"none\",le=\"0.0025\"} 1");
    expect("wukong_admission_review_duration_seconds_sum{endpoint=\"mutate\","
           "lookups=\"live\"} 0.3");
}

static void test_lookups(void **state)
{
    (void)state;
    webhook_count_lookup("virtualmachine", 404);
    webhook_count_lookup("virtualmachine", 0);
    expect("wukong_admission_lookups_total{object=\"virtualmachine\",code=\"404\"} 1");
    expect("wukong_admission_lookups_total{object=\"virtualmachine\",code=\"0\"} 1");
}

static void test_gauges(void **state)
{
    (void)state;
    const struct server_counts c = {
        .connections = 7, .busy = 3, .timed_out = 4, .evicted = 5, .shed = 6, .refused = 8};
    webhook_set_gauges(&c, 1800000000, 1900000000, true);
    expect("wukong_webhook_connections{state=\"open\"} 7");
    expect("wukong_webhook_connections{state=\"busy\"} 3");
    expect("wukong_webhook_turned_away{why=\"deadline\"} 4");
    expect("wukong_webhook_turned_away{why=\"connections\"} 5");
    expect("wukong_webhook_turned_away{why=\"requests\"} 6");
    expect("wukong_webhook_turned_away{why=\"body\"} 8");
    expect("wukong_webhook_certificate_expiry_timestamp_seconds{certificate=\"leaf\"} 1800000000");
    expect("wukong_webhook_certificate_expiry_timestamp_seconds{certificate=\"ca\"} 1900000000");
    webhook_set_starts(1700000000, 1600000000);
    expect("wukong_webhook_certificate_start_timestamp_seconds{certificate=\"leaf\"} 1700000000");
    expect("wukong_webhook_certificate_start_timestamp_seconds{certificate=\"ca\"} 1600000000");
    expect("wukong_webhook_ready 1");
    webhook_set_gauges(&c, 1800000000, 1900000000, false);
    expect("wukong_webhook_ready 0");
}

static void test_requests_of_our_own(void **state)
{
    (void)state;
    kube_metrics_observe(NULL, KUBE_GET, "/api/v1/namespaces/x", 200, 20);
    kube_metrics_observe(NULL, KUBE_GET, "/api/v1/namespaces?watch=true", 200, 300000);
    kube_metrics_observe(NULL, KUBE_PATCH, "/api/v1/namespaces/x", 0, 5000);
    expect("rest_client_requests_total{verb=\"GET\",code=\"200\"} 2");
    expect("rest_client_requests_total{verb=\"PATCH\",code=\"<error>\"} 1");
    /* A watch lasts as long as it lasts. */
    expect("rest_client_request_duration_seconds_count{verb=\"GET\"} 1");
}

static void test_documented(void **state)
{
    (void)state;
    page_check("Webhook");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reviews, reset),
        cmocka_unit_test_setup(test_lookups, reset),
        cmocka_unit_test_setup(test_gauges, reset),
        cmocka_unit_test_setup(test_requests_of_our_own, reset),
        cmocka_unit_test_setup(test_documented, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
