#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/lint.h"
#include "cli/terminal_text.h"
#include "json/writer.h"
#include "wukong/rules/rules.h"

/* Output of LINT_FINDINGS_MAX findings. */
#define OUTPUT_BYTES (512u * MIB)

const char *const lint_format_names[LINT_FORMATS] = {"text", "json", "junit", "sarif"};

static const char *level(const struct lint_finding *f)
{
    return f->error ? "error" : "warning";
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

/* A manifest of a pull request is read here, and a terminal or the log of a CI job obeys what it is
   shown: control characters go, and with them the line ends, so that only our own words begin a
   line; a file whose name is a workflow command is shown from "./" on. */
static void print_finding(const struct lint_finding *f, struct buf *out)
{
    CLEANUP_BUF struct buf name = BUF_INIT(MIB);
    terminal_text_add(&name, f->file);
    if (str_starts(name.data, "::") || str_starts(name.data, "##["))
        buf_adds(out, "./");
    buf_add(out, name.data, name.len);
    buf_addf(out, ":%u:%u: %s: ", f->line, f->column, level(f));
    buf_adds(out, f->field);
    buf_adds(out, *f->field ? ": " : "");
    buf_adds(out, f->message);
    buf_addf(out, " [%s]\n", f->rule);
}

static void print_text(const struct lint *l, struct buf *out)
{
    for (size_t i = 0; i < l->count; i++)
        print_finding(&l->findings[i], out);
    buf_addf(out, "%zu object%s in %zu file%s: %zu error%s, %zu warning%s", l->objects,
             plural(l->objects), l->file_count, plural(l->file_count), l->errors, plural(l->errors),
             l->warnings, plural(l->warnings));
    if (l->skipped)
        buf_addf(out, " (%zu left out: templates, or ignored)", l->skipped);
    buf_addc(out, '\n');
}

static void print_json(const struct lint *l, struct buf *out)
{
    struct json_writer w = json_writer(out);
    json_object(&w, NULL);
    json_number(&w, "files", (int64_t)l->file_count);
    json_number(&w, "objects", (int64_t)l->objects);
    json_number(&w, "errors", (int64_t)l->errors);
    json_number(&w, "warnings", (int64_t)l->warnings);
    json_array(&w, "findings");
    for (size_t i = 0; i < l->count; i++) {
        const struct lint_finding *f = &l->findings[i];
        json_object(&w, NULL);
        json_string(&w, "file", f->file);
        json_number(&w, "line", f->line);
        json_number(&w, "column", f->column);
        json_string(&w, "severity", level(f));
        json_string(&w, "rule", f->rule);
        json_string(&w, "object", f->object);
        json_string(&w, "field", f->field);
        json_string(&w, "message", f->message);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    buf_addc(out, '\n');
}

/* Text of XML: what XML 1.0 cannot hold is left out. */
static void xml(struct buf *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        switch (c) {
        case '&':
            buf_adds(out, "&amp;");
            break;
        case '<':
            buf_adds(out, "&lt;");
            break;
        case '>':
            buf_adds(out, "&gt;");
            break;
        case '"':
            buf_adds(out, "&quot;");
            break;
        case '\n':
            buf_adds(out, "&#10;");
            break;
        default:
            if (c >= 0x20)
                buf_addc(out, (char)c);
        }
    }
}

static void junit_case(struct buf *out, const struct lint_finding *f, bool failed)
{
    buf_adds(out, "  <testcase classname=\"");
    xml(out, f->file);
    buf_adds(out, "\" name=\"");
    xml(out, f->object);
    buf_addf(out, "%s%u:%u %s\">\n   ", *f->object ? " " : "", f->line, f->column, f->rule);
    if (failed) {
        buf_addf(out, "<failure type=\"%s\" message=\"", f->rule);
        xml(out, f->message);
        buf_adds(out, "\">");
    } else {
        buf_adds(out, "<system-out>");
    }
    xml(out, f->field);
    buf_adds(out, *f->field ? ": " : "");
    xml(out, f->message);
    buf_adds(out, failed ? "</failure>\n  </testcase>\n" : "</system-out>\n  </testcase>\n");
}

/* One test case per finding, as a case holds at most one failure, and one per clean file. A warning
   fails its case only where warnings count as errors. */
static void print_junit(const struct lint *l, bool warnings_fail, struct buf *out)
{
    CLEANUP_BUF struct buf cases = BUF_INIT(OUTPUT_BYTES);
    size_t failed = 0, next = 0, count = 0;
    for (size_t i = 0; i < l->file_count; i++) {
        size_t first = next;
        /* Findings come in the order of the files. */
        for (; next < l->count && l->findings[next].file_index == i; next++, count++) {
            bool bad = l->findings[next].error || warnings_fail;
            junit_case(&cases, &l->findings[next], bad);
            failed += bad;
        }
        if (next != first)
            continue;
        count++;
        buf_adds(&cases, "  <testcase classname=\"");
        xml(&cases, l->files[i].path);
        buf_adds(&cases, "\" name=\"clean\"></testcase>\n");
    }
    buf_addf(out,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"%zu\" "
             "failures=\"%zu\">\n <testsuite name=\"kubectl-wukong lint\" tests=\"%zu\" "
             "failures=\"%zu\" errors=\"0\">\n",
             count, failed, count, failed);
    buf_add(out, cases.data, cases.len);
    buf_adds(out, " </testsuite>\n</testsuites>\n");
}

/* --- SARIF 2.1.0 (OASIS), as GitHub code scanning reads it --- */

static const char *const own_rules[][2] = {
    {"yaml", "the text is no YAML or JSON"},
    {"policy", "a ClonePolicy given by --policy does not allow it"},
    {"kind", "the kind is none of ours, and close to one"},
    {"unreadable", "the file or folder cannot be read"},
    {NULL, NULL},
};

static void sarif_rules(struct json_writer *w)
{
    json_array(w, "rules");
    for (size_t i = 0; own_rules[i][0]; i++) {
        json_object(w, NULL);
        json_string(w, "id", own_rules[i][0]);
        json_object(w, "shortDescription");
        json_string(w, "text", own_rules[i][1]);
        json_end(w);
        json_end(w);
    }
    for (size_t i = 0; i < rule_count(); i++) {
        const struct rule *rule = rule_at(i);
        json_object(w, NULL);
        json_string(w, "id", rule->id);
        json_object(w, "shortDescription");
        json_string(w, "text", rule->condition);
        json_end(w);
        json_object(w, "help");
        json_string(w, "text", str_or(rule->remedy, str_or(rule->message, "see the message")));
        json_end(w);
        json_end(w);
    }
    json_end(w);
}

/* A path as a URI reference: only unreserved characters and '/' stay. */
static void add_uri(struct buf *out, const char *path)
{
    for (const char *s = str_starts(path, "./") ? path + 2 : path; *s; s++) {
        bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                     (*s >= '0' && *s <= '9') || strchr("-._~/", *s);
        if (plain)
            buf_addc(out, *s);
        else
            buf_addf(out, "%%%02X", (unsigned)(unsigned char)*s);
    }
}

static void sarif_result(struct json_writer *w, const struct lint_finding *f)
{
    CLEANUP_BUF struct buf uri = BUF_INIT(16 * KIB);
    add_uri(&uri, str_eq(f->file, "-") ? "stdin" : f->file);
    json_object(w, NULL);
    json_string(w, "ruleId", f->rule);
    json_string(w, "level", level(f));
    json_object(w, "message");
    json_stringf(w, "text", "%s%s%s", f->field, *f->field ? ": " : "", f->message);
    json_end(w);
    json_array(w, "locations");
    json_object(w, NULL);
    json_object(w, "physicalLocation");
    json_object(w, "artifactLocation");
    json_string(w, "uri", uri.data);
    json_end(w);
    json_object(w, "region");
    json_number(w, "startLine", f->line ? f->line : 1);
    json_number(w, "startColumn", f->column ? f->column : 1);
    json_end(w);
    json_end(w);
    json_end(w);
    json_end(w);
    json_end(w);
}

static void print_sarif(const struct lint *l, struct buf *out)
{
    struct json_writer w = json_writer(out);
    json_object(&w, NULL);
    json_string(&w, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
    json_string(&w, "version", "2.1.0");
    json_array(&w, "runs");
    json_object(&w, NULL);
    json_object(&w, "tool");
    json_object(&w, "driver");
    json_string(&w, "name", "kubectl-wukong");
    json_string(&w, "version", WUKONG_VERSION);
    sarif_rules(&w);
    json_end(&w);
    json_end(&w);
    json_array(&w, "results");
    for (size_t i = 0; i < l->count; i++)
        sarif_result(&w, &l->findings[i]);
    json_end(&w);
    json_string(&w, "columnKind", "unicodeCodePoints");
    json_end(&w);
    json_end(&w);
    json_end(&w);
    buf_addc(out, '\n');
}

void lint_print(const struct lint *l, enum lint_format format, bool warnings_fail)
{
    CLEANUP_BUF struct buf out = BUF_INIT(OUTPUT_BYTES);
    switch (format) {
    case LINT_TEXT:
    case LINT_FORMATS:
        print_text(l, &out);
        break;
    case LINT_JSON:
        print_json(l, &out);
        break;
    case LINT_JUNIT:
        print_junit(l, warnings_fail, &out);
        break;
    case LINT_SARIF:
        print_sarif(l, &out);
        break;
    }
    fwrite(out.data, 1, out.len, stdout);
}
