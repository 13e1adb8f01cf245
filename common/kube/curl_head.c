#include "kube/curl_head.h"

#include <string.h>

/* The text of `299 - "text"` with its escapes undone (RFC 7234 section 5.5). */
static void add_warning(struct buf *out, const char *value)
{
    const char *p = strchr(value, '"');
    if (!p || strncmp(value, "299 ", 4) != 0)
        return;
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            p++;
        buf_addc(out, *p == '\n' ? ' ' : *p);
    }
    buf_addc(out, '\n');
}

static void read_warnings(CURL *easy, struct buf *out)
{
    struct curl_header *h;
    for (size_t i = 0; curl_easy_header(easy, "Warning", i, CURLH_HEADER, -1, &h) == CURLHE_OK; i++)
        add_warning(out, h->value);
}

/* Within so long nobody sets our clock, it is hoped: a watch takes longer. */
#define DATE_TRUST_US (60 * INT64_C(1000000))

void curl_head_read(CURL *easy, struct curl_head *ret)
{
    long code = 0;
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    (void)curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    *ret = (struct curl_head){.code = (int)code, .retry_after_s = (int64_t)retry_after};
    buf_init(&ret->warnings, CURL_HEAD_WARNINGS_BYTES);
    read_warnings(easy, &ret->warnings);
}

void curl_head_release(struct curl_head *h)
{
    buf_release(&h->warnings);
}

bool curl_head_read_date(CURL *easy, int64_t wall_ms, struct clock_skew *skew)
{
    struct curl_header *h;
    curl_off_t whole_us = 0, head_us = 0;
    if (!skew || curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &h) != CURLHE_OK ||
        curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &whole_us) != CURLE_OK ||
        curl_easy_getinfo(easy, CURLINFO_STARTTRANSFER_TIME_T, &head_us) != CURLE_OK ||
        whole_us > DATE_TRUST_US)
        return false;
    int64_t date_s = curl_getdate(h->value, NULL);
    if (date_s <= 0)
        return false;
    skew_learn(skew, wall_ms - whole_us / 1000 - 1, wall_ms - (whole_us - head_us) / 1000,
               date_s * 1000);
    return true;
}
