/*
 * Any text as a quantity and as a duration: no crash, and what is read obeys the order it claims.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "apimachinery/duration.h"
#include "apimachinery/quantity.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Two texts, parted by a line feed. */
    CLEANUP_FREE char *text = xstrndup((const char *)data, size);
    char *other = strchr(text, '\n');
    struct quantity a, b;
    int64_t ns;
    char printed[QUANTITY_PRINT_MAX], duration[DURATION_PRINT_MAX];
    if (other)
        *other++ = '\0';
    if (duration_parse(text, &ns))
        duration_print(ns / 1000000, duration);
    if (quantity_parse(text, &a) != QUANTITY_OK)
        return 0;
    assert(quantity_compare(&a, &a) == 0);
    assert(a.count <= QUANTITY_DIGITS_MAX && (a.sign != 0) == (a.count > 0));
    int64_t value = quantity_value(&a);
    quantity_print(value, printed);
    struct quantity rounded = quantity_from_int(value);
    /* Rounded away from zero, and held at the ends of int64. */
    if (value > 0 && value < INT64_MAX)
        assert(quantity_compare(&rounded, &a) >= 0);
    assert(quantity_text_equal(text, text));
    if (other && quantity_parse(other, &b) == QUANTITY_OK) {
        int forth = quantity_compare(&a, &b), back = quantity_compare(&b, &a);
        assert((forth > 0) == (back < 0) && (forth == 0) == (back == 0));
        assert(quantity_text_equal(text, other) == (forth == 0));
    }
    return 0;
}
