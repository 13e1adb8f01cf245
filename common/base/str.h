/*
 * Small helpers over C strings. Nothing here allocates unless its name ends in _dup.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* NULL equals only NULL. */
static inline bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}
static inline bool str_empty(const char *s)
{
    return !s || !*s;
}
static inline bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}
bool str_ends(const char *s, const char *suffix);
/* Fallback for NULL and "". */
static inline const char *str_or(const char *s, const char *fallback)
{
    return str_empty(s) ? fallback : s;
}
/* Decimal digits only, the whole string; no sign but str_to_i64's minus. False when it is not that
   or overflows. */
bool str_to_u64(const char *s, uint64_t *ret);
bool str_to_i64(const char *s, int64_t *ret);
/* FNV-1a, for hash tables and short name suffixes; not for secrets. */
uint64_t str_hash64(const void *bytes, size_t n);
/* Edit distance (insert, delete, replace, swap of neighbours), for "did you mean"; at most 64
   characters of each are looked at. */
unsigned str_distance(const char *a, const char *b);
/* Characters of UTF-8, which is what OpenAPI's maxLength counts. */
size_t str_characters(const char *s);
/* Takes a UTF-8 character that was cut in the middle off the end. */
void str_trim_utf8(char *s);
/* RFC 3339 time with optional fraction to Unix milliseconds; false when it is not one. */
bool str_to_time_ms(const char *s, int64_t *ret_ms);
/* "2026-01-02T03:04:05Z", or with ".678Z" when with_ms; out holds at least TIME_TEXT_MAX. */
#define TIME_TEXT_MAX 32
void time_to_str(int64_t unix_ms, bool with_ms, char out[TIME_TEXT_MAX]);

#endif
