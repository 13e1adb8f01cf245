/* How a check reports what it has found; see rules/checks.h. */
#include "wukong/rules/checks.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 4, 0))) static void report_finding(const struct check *c,
                                                                 const char *suffix,
                                                                 const char *value,
                                                                 const char *format, va_list args)
{
    char path[PATH_MAX_BYTES], detail[1024];
    if (findings_full(c->findings)) {
        findings_add(c->findings, c->rule, "", NULL, NULL);
        return;
    }
    snprintf(path, sizeof(path), "%s%s", c->path, suffix);
    if (format) {
        vsnprintf(detail, sizeof(detail), format, args);
        findings_add(c->findings, c->rule, path, value, "%s", detail);
    } else {
        findings_add(c->findings, c->rule, path, value, NULL);
    }
}

void check_fail(const struct check *c, const char *value, const char *detail, ...)
{
    va_list args;
    va_start(args, detail);
    report_finding(c, c->rule->field ? c->rule->field : "", value, detail, args);
    va_end(args);
}

void check_fail_at(const struct check *c, const char *suffix, const char *value, const char *detail,
                   ...)
{
    va_list args;
    va_start(args, detail);
    report_finding(c, suffix, value, detail, args);
    va_end(args);
}
