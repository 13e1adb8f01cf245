/*
 * What we read of the head of an answer, beside its status: Retry-After, the warnings, and the Date
 * that tells how our clock stands to the server's. libcurl has taken the head apart; its values are
 * the server's, or those of whatever answers in its place.
 */
#ifndef KUBE_CURL_HEAD_H
#define KUBE_CURL_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "kube/skew.h"

/* kube-apiserver cuts all warnings of an answer at 4 KiB (apiserver
 * pkg/endpoints/filters/warning.go). */
#define CURL_HEAD_WARNINGS_BYTES (16u * KIB)

struct curl_head {
    int code;
    int64_t retry_after_s;
    struct buf warnings; /* the texts, a line each */
};

void curl_head_read(CURL *easy, struct curl_head *ret);
void curl_head_release(struct curl_head *h);
#define CLEANUP_CURL_HEAD __attribute__((cleanup(curl_head_release)))

/* Learns from the Date of an answer that has just come whole, at wall_ms of our clock; false: there
   is none to learn from. skew may be NULL. */
bool curl_head_read_date(CURL *easy, int64_t wall_ms, struct clock_skew *skew);

#endif
