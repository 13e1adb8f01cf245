/* What the user is told of a machine in the making; see manifest.h. */
#include "manifests/build.h"

#include <stdarg.h>
#include <stdio.h>

#define WARNINGS_MAX 256

void build_warn(struct manifest_build *b, const char *format, ...)
{
    struct manifest_vm *t = b->ret;
    char text[ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!t->warnings)
        t->warnings = arena_alloc(&t->arena, WARNINGS_MAX * sizeof *t->warnings);
    char *copy = arena_strdup(&t->arena, text);
    /* One warning more or less denies nobody a clone. */
    if (t->warnings && copy && t->warning_count < WARNINGS_MAX)
        t->warnings[t->warning_count++] = copy;
}
