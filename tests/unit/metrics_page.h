/*
 * Holds docs/admin/metrics.md against what a program exports: every metric registered is on the
 * page under one of the program's headings, with the same labels, and every metric under them is
 * registered.
 */
#ifndef TESTS_METRICS_PAGE_H
#define TESTS_METRICS_PAGE_H

#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"

/* The text of one "## heading"; free it. */
static inline char *page_section(const char *page, const char *heading)
{
    CLEANUP_FREE char *title = xasprintf("## %s\n", heading);
    const char *begin = strstr(page, title);
    if (!begin)
        fail_msg("docs/admin/metrics.md has no heading %s", heading);
    const char *end = strstr(begin + 3, "\n## ");
    return end ? xstrndup(begin, (size_t)(end - begin)) : xstrdup(begin);
}

static inline size_t page_registered(const char *exposition, const char *sections)
{
    size_t found = 0;
    for (const char *line = strstr(exposition, "# TYPE "); line;
         line = strstr(line + 1, "# TYPE ")) {
        const char *name = line + strlen("# TYPE ");
        CLEANUP_FREE char *row = xasprintf("\n| `%.*s` |", (int)strcspn(name, " "), name);
        if (!strstr(sections, row))
            fail_msg("%s is not in docs/admin/metrics.md", row);
        found++;
    }
    return found;
}

static inline size_t page_documented(const char *exposition, const char *sections)
{
    size_t found = 0;
    for (const char *row = strstr(sections, "\n| `"); row; row = strstr(row + 1, "\n| `")) {
        const char *name = row + strlen("\n| `");
        CLEANUP_FREE char *type = xasprintf("# TYPE %.*s ", (int)strcspn(name, "`"), name);
        if (!strstr(exposition, type))
            fail_msg("docs/admin/metrics.md promises a metric that is not exported: %s", type);
        found++;
    }
    return found;
}

/* The program's metrics must be registered. */
static inline void page_check(const char *program)
{
    CLEANUP_BUF struct buf page = BUF_INIT(1 * MIB);
    CLEANUP_BUF struct buf text = BUF_INIT(1 * MIB);
    struct err err = {0};
    assert_int_equal(buf_read_file(&page, METRICS_PAGE, &err), 0);
    metric_write_all(&text);
    CLEANUP_FREE char *own = page_section(page.data, program);
    CLEANUP_FREE char *both = page_section(page.data, "Both");
    CLEANUP_FREE char *sections = xasprintf("%s%s", own, both);
    size_t registered = page_registered(text.data, sections);
    assert_int_equal(page_documented(text.data, sections), registered);
    assert_true(registered > 10);
}

#endif
