#include "base/metric.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"

struct metric_series {
    struct metric_series *next;
    char *values[METRIC_LABELS_MAX];
    double value; /* histograms: the sum */
    unsigned long long count;
    unsigned long long buckets[];
};

static struct metric *first, **last = &first;

void metric_register(struct metric *m)
{
    if (m->registered)
        return;
    m->registered = 1;
    m->next = NULL;
    *last = m;
    last = &m->next;
}

static size_t label_count(const struct metric *m)
{
    size_t n = 0;
    while (n < METRIC_LABELS_MAX && m->labels[n])
        n++;
    return n;
}

static struct metric_series *find_series(const struct metric *m, const char *const *values)
{
    size_t n = label_count(m);
    for (struct metric_series *s = m->series; s; s = s->next) {
        size_t i = 0;
        while (i < n && str_eq(s->values[i], str_or(values[i], "")))
            i++;
        if (i == n)
            return s;
    }
    return NULL;
}

static struct metric_series *series(struct metric *m, const char *const *values)
{
    static const char *const other[METRIC_LABELS_MAX] = {"other", "other", "other", "other"};
    size_t n = label_count(m);
    assert(n == 0 || values);
    metric_register(m);
    struct metric_series *s = find_series(m, values);
    if (!s && m->series_count >= METRIC_SERIES_MAX) {
        values = other;
        s = find_series(m, values);
    }
    if (s)
        return s;
    s = xcalloc(1, sizeof *s + m->bound_count * sizeof *s->buckets);
    for (size_t i = 0; i < n; i++)
        s->values[i] = xstrdup(str_or(values[i], ""));
    struct metric_series **end = &m->series;
    while (*end)
        end = &(*end)->next;
    *end = s;
    m->series_count++;
    return s;
}

void metric_add(struct metric *m, double value, const char *const *label_values)
{
    assert(m->kind != METRIC_HISTOGRAM);
    series(m, label_values)->value += value;
}

void metric_set(struct metric *m, double value, const char *const *label_values)
{
    assert(m->kind == METRIC_GAUGE);
    series(m, label_values)->value = value;
}

void metric_observe(struct metric *m, double value, const char *const *label_values)
{
    assert(m->kind == METRIC_HISTOGRAM && m->bound_count);
    struct metric_series *s = series(m, label_values);
    s->value += value;
    s->count++;
    for (size_t i = 0; i < m->bound_count; i++)
        if (value <= m->bounds[i])
            s->buckets[i]++;
}

double metric_value(const struct metric *m, const char *const *label_values)
{
    const struct metric_series *s = find_series(m, label_values);
    if (!s)
        return 0;
    return m->kind == METRIC_HISTOGRAM ? (double)s->count : s->value;
}

static void write_labels(struct buf *out, const struct metric *m, const struct metric_series *s,
                         const char *bound)
{
    size_t n = label_count(m);
    if (n == 0 && !bound)
        return;
    buf_addc(out, '{');
    for (size_t i = 0; i < n; i++) {
        buf_addf(out, "%s%s=\"", i ? "," : "", m->labels[i]);
        for (const char *c = s->values[i]; *c; c++) {
            if (*c == '\n')
                buf_adds(out, "\\n");
            else if (*c == '"' || *c == '\\')
                buf_addf(out, "\\%c", *c);
            else
                buf_addc(out, *c);
        }
        buf_addc(out, '"');
    }
    if (bound)
        buf_addf(out, "%sle=\"%s\"", n ? "," : "", bound);
    buf_addc(out, '}');
}

static void write_histogram(struct buf *out, const struct metric *m, const struct metric_series *s)
{
    for (size_t i = 0; i <= m->bound_count; i++) {
        char bound[32] = "+Inf";
        if (i < m->bound_count)
            (void)snprintf(bound, sizeof bound, "%g", m->bounds[i]);
        buf_addf(out, "%s_bucket", m->name);
        write_labels(out, m, s, bound);
        buf_addf(out, " %llu\n", i < m->bound_count ? s->buckets[i] : s->count);
    }
    buf_addf(out, "%s_sum", m->name);
    write_labels(out, m, s, NULL);
    buf_addf(out, " %.9g\n%s_count", s->value, m->name);
    write_labels(out, m, s, NULL);
    buf_addf(out, " %llu\n", s->count);
}

void metric_write_all(struct buf *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    static_assert(sizeof kinds / sizeof *kinds == METRIC_HISTOGRAM + 1, "a name per kind");
    for (const struct metric *m = first; m; m = m->next) {
        buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, kinds[m->kind]);
        for (const struct metric_series *s = m->series; s; s = s->next) {
            if (m->kind == METRIC_HISTOGRAM) {
                write_histogram(out, m, s);
                continue;
            }
            buf_adds(out, m->name);
            write_labels(out, m, s, NULL);
            buf_addf(out, " %.15g\n", s->value);
        }
    }
}

void metric_clear(struct metric *m)
{
    while (m->series) {
        struct metric_series *s = m->series;
        m->series = s->next;
        for (size_t i = 0; i < METRIC_LABELS_MAX; i++)
            free(s->values[i]);
        free(s);
    }
    m->series_count = 0;
}

void metric_reset_all(void)
{
    for (struct metric *m = first; m;) {
        struct metric *next = m->next;
        metric_clear(m);
        m->registered = 0;
        m->next = NULL;
        m = next;
    }
    first = NULL;
    last = &first;
}
