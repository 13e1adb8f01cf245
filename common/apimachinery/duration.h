/*
 * Durations as Go's time.ParseDuration reads them ("1h30m", "-1.5h", "300ms"), which is what
 * metav1.Duration is made of.
 */
#ifndef APIMACHINERY_DURATION_H
#define APIMACHINERY_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds; false when it is none, or overflows int64. *ret is untouched on failure. */
bool duration_parse(const char *text, int64_t *ret_ns);
/* "6h", "1h30m", "45s", "1.5s": at most two units, for messages. */
#define DURATION_PRINT_MAX 32
void duration_print(int64_t ms, char out[DURATION_PRINT_MAX]);

#endif
