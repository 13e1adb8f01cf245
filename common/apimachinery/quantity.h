/*
 * Kubernetes quantities ("10Gi", "1500m", "1e3"), parsed, rounded and capped exactly as
 * apimachinery's resource.ParseQuantity does, and compared by value: 10Gi = 10240Mi. A quantity is
 * a plain value; nothing to free. Its text may be at most QUANTITY_TEXT_MAX bytes: the CRD allows
 * 32, so the bound only keeps the value flat.
 */
#ifndef APIMACHINERY_QUANTITY_H
#define APIMACHINERY_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

#define QUANTITY_TEXT_MAX 128
/* Digits of the longest text, times at most 2^60 (19 digits). */
#define QUANTITY_DIGITS_MAX 152

struct quantity {
    int sign;         /* -1, 0, 1 */
    int64_t exponent; /* value = sign × 0.d0d1d2… × 10^exponent; d0 and the last digit are not 0 */
    unsigned count;
    uint8_t digits[QUANTITY_DIGITS_MAX];
};

enum quantity_error {
    QUANTITY_OK = 0,
    QUANTITY_EMPTY,
    QUANTITY_FORMAT,  /* "quantities must match the regular expression" */
    QUANTITY_NUMBER,  /* "unable to parse numeric part of quantity" */
    QUANTITY_SUFFIX,  /* "unable to parse quantity's suffix" */
    QUANTITY_TOO_LONG /* past QUANTITY_TEXT_MAX */
};

/* *ret is untouched on failure. */
enum quantity_error quantity_parse(const char *text, struct quantity *ret);
/* What is wrong and how it is written right; static. */
const char *quantity_error_text(enum quantity_error e);
/* <0, 0, >0 */
int quantity_compare(const struct quantity *a, const struct quantity *b);
/* Like Go's Value(): whole units, rounded up (away from zero), saturating at int64. */
int64_t quantity_value(const struct quantity *q);
/* The value of a quantity's text; 0 when it is none, or NULL. */
int64_t quantity_bytes(const char *text);
/* True when both texts are quantities of the same value, or are the same text; NULL equals NULL. */
bool quantity_text_equal(const char *a, const char *b);
struct quantity quantity_from_int(int64_t value);
/* The value in the largest binary unit that holds it exactly ("10Gi", "1536Mi", "1000"), for
   messages; whole values only, others are rounded up. */
#define QUANTITY_PRINT_MAX 32
void quantity_print(int64_t bytes, char out[QUANTITY_PRINT_MAX]);

#endif
