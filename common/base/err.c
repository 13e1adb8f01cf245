#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {
    [ERR_NONE] = "None",
    [ERR_INVALID] = "Invalid",
    [ERR_LIMIT] = "Limit",
    [ERR_NOT_FOUND] = "NotFound",
    [ERR_EXISTS] = "AlreadyExists",
    [ERR_CONFLICT] = "Conflict",
    [ERR_EXPIRED] = "Expired",
    [ERR_REFUSED] = "Refused",
    [ERR_UNAUTHORIZED] = "Unauthorized",
    [ERR_THROTTLED] = "Throttled",
    [ERR_UNAVAILABLE] = "Unavailable",
    [ERR_AMBIGUOUS] = "Ambiguous",
    [ERR_INTERNAL] = "Internal",
};
static_assert(sizeof(kind_names) / sizeof(*kind_names) == ERR_INTERNAL + 1, "a name per kind");

const char *err_kind_name(enum err_kind kind)
{
    assert(kind >= 0 && kind <= ERR_INTERNAL);
    return kind_names[kind];
}

/* A cut in the middle of a character would make invalid JSON of every log line and status. */
static void cut_at_character(char *text, size_t size)
{
    size_t end = size - 1;
    while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80)
        end--;
    if (end > 0 && (unsigned char)text[end - 1] >= 0xC0)
        text[end - 1] = '\0';
}

static void __attribute__((format(printf, 3, 0)))
format_into(char *text, size_t size, const char *format, va_list args)
{
    int n = vsnprintf(text, size, format, args);
    if (n < 0)
        text[0] = '\0';
    else if ((size_t)n >= size)
        cut_at_character(text, size);
}

int err_set(struct err *err, enum err_kind kind, const char *format, ...)
{
    assert(kind != ERR_NONE);
    if (err) {
        va_list args;
        va_start(args, format);
        err->kind = kind;
        format_into(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return -1;
}

int err_wrap(struct err *err, const char *format, ...)
{
    if (err) {
        char inner[ERR_MESSAGE_MAX];
        memcpy(inner, err->message, sizeof inner);
        va_list args;
        va_start(args, format);
        format_into(err->message, sizeof err->message, format, args);
        va_end(args);
        size_t used = strlen(err->message);
        int n = snprintf(err->message + used, sizeof err->message - used, ": %s", inner);
        if (n > 0 && (size_t)n >= sizeof err->message - used)
            cut_at_character(err->message, sizeof err->message);
    }
    return -1;
}
