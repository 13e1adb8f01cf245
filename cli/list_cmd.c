/* kubectl wukong list: the clones of a namespace or of all, a line each. */
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/terminal_text.h"
#include "json/json.h"
#include "kube/path.h"
#include "wukong/api/conditions.h"
#include "wukong/api/resources.h"

/* As client-go's pager asks (tools/pager/pager.go). */
#define PAGE 500
/* Pages of one list: 500,000 Wukongs. */
#define PAGES_MAX 1000
#define COLUMNS 8
/* A column is no wider; the last one is never cut. */
#define COLUMN_MAX 60

struct options {
    struct flag_connection connection;
    bool all;
    const char *output;
};

static const struct verb_help help = {
    .verb = "list",
    .arguments = "",
    .summary =
        "The clones of a namespace, or with -A of all: how far each is, what its data are worth,\n"
        "and what it waits for.",
    .examples = "  kubectl wukong list\n"
                "  kubectl wukong list -A\n"
                "  kubectl wukong list -o json\n",
    .exits = "  0  they were listed\n"
             "  1  they cannot be listed\n"
             "  2  wrong usage\n",
};

static const char *const headers[COLUMNS] = {"NAMESPACE", "NAME",        "SOURCE", "PHASE",
                                             "PROGRESS",  "CONSISTENCY", "AGE",    "WAITS FOR"};

struct table {
    char ***rows;
    size_t count, room;
};

static void table_release(struct table *t)
{
    for (size_t r = 0; r < t->count; r++) {
        for (size_t c = 0; c < COLUMNS; c++)
            free(t->rows[r][c]);
        free(t->rows[r]);
    }
    free(t->rows);
}

/* What comes out of a cluster was written by others. */
static char *cell_text(const char *text)
{
    CLEANUP_BUF struct buf b = BUF_INIT(LIMIT_OBJECT_BYTES);
    terminal_text_add(&b, str_or(text, ""));
    return buf_take(&b);
}

static char *source_cell(const cJSON *wukong)
{
    const cJSON *s = json_at(wukong, "spec.cloneSource");
    const char *vm = json_str(s, "vmName"), *ns = json_str(s, "namespace");
    CLEANUP_FREE char *text = xasprintf("%s%s%s%s", str_or(ns, ""), ns ? "/" : "",
                                        vm  ? "vm/"
                                        : s ? "vmi/"
                                            : "",
                                        str_or(vm ? vm : json_str(s, "vmiName"), ""));
    return cell_text(text);
}

static char *age_cell(const cJSON *wukong, int64_t now_ms)
{
    char age[TERMINAL_TEXT_WAIT_MAX];
    int64_t made_ms;
    if (!str_to_time_ms(json_str(wukong, "metadata.creationTimestamp"), &made_ms))
        return xstrdup("?");
    terminal_text_wait(now_ms > made_ms ? now_ms - made_ms : 0, age);
    return xstrdup(age);
}

static char *waits_cell(const cJSON *wukong)
{
    const cJSON *ready = condition_find(json_at(wukong, "status.conditions"), "Ready");
    if (progress_state(wukong) == PROGRESS_SUCCEEDED || progress_state(wukong) == PROGRESS_NO_CLONE)
        return xstrdup("");
    CLEANUP_FREE char *text =
        xasprintf("%s: %s", str_or(json_str(ready, "reason"), "Pending"),
                  str_or(json_str(ready, "message"), "the worker has not reconciled it yet"));
    return cell_text(text);
}

static void table_add(struct table *t, const cJSON *wukong, int64_t now_ms)
{
    const cJSON *clone = json_at(wukong, "status.cloneStatus");
    const char *phase = json_str(clone, "phase");
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->rows = xrealloc(t->rows, t->room * sizeof *t->rows);
    }
    char **row = xcalloc(COLUMNS, sizeof *row);
    row[0] = cell_text(json_str(wukong, "metadata.namespace"));
    row[1] = cell_text(json_str(wukong, "metadata.name"));
    row[2] = source_cell(wukong);
    row[3] = cell_text(json_str(wukong, "metadata.deletionTimestamp") ? "Deleting"
                       : phase                                        ? phase
                       : json_at(wukong, "spec.cloneSource")          ? "Pending"
                                                                      : "NoClone");
    row[4] = cell_text(str_or(json_str(clone, "progress"), ""));
    row[5] = cell_text(str_or(json_str(clone, "consistency"), ""));
    row[6] = age_cell(wukong, now_ms);
    row[7] = waits_cell(wukong);
    t->rows[t->count++] = row;
}

static void print_row(const char *const *row, const unsigned *widths, size_t first)
{
    CLEANUP_BUF struct buf line = BUF_INIT(LIMIT_OBJECT_BYTES);
    for (size_t c = first; c < COLUMNS; c++) {
        if (c + 1 == COLUMNS)
            buf_adds(&line, row[c]);
        else
            terminal_text_add_padded(&line, row[c], widths[c], false);
        if (c + 1 < COLUMNS)
            buf_adds(&line, "   ");
    }
    while (line.len && line.data[line.len - 1] == ' ')
        line.data[--line.len] = '\0';
    (void)puts(line.data);
}

static void table_print(const struct table *t, bool all)
{
    unsigned widths[COLUMNS];
    for (size_t c = 0; c < COLUMNS; c++) {
        widths[c] = terminal_text_columns(headers[c]);
        for (size_t r = 0; r < t->count; r++) {
            unsigned w = terminal_text_columns(t->rows[r][c]);
            widths[c] = w > widths[c] ? w : widths[c];
        }
        widths[c] = widths[c] > COLUMN_MAX ? COLUMN_MAX : widths[c];
    }
    print_row(headers, widths, !all);
    for (size_t r = 0; r < t->count; r++)
        print_row((const char *const *)t->rows[r], widths, !all);
}

/* All pages into one list object; NULL when one was refused, which was told. */
static cJSON *list_all(struct cluster *c, bool all)
{
    cJSON *list = cJSON_CreateObject(), *items = cJSON_CreateArray();
    CLEANUP_FREE char *token = NULL;
    (void)cJSON_AddStringToObject(list, "apiVersion", "v1");
    (void)cJSON_AddStringToObject(list, "kind", "List");
    (void)cJSON_AddItemToObject(list, "items", items);
    int64_t limit = PAGE;
    for (int page = 0; page < PAGES_MAX; page++) {
        CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
        CLEANUP_REPLY struct cluster_reply reply = {0};
        cJSON *item;
        kube_path_kind(&path, &cluster_wukongs, all ? NULL : cluster_ns(c), NULL, NULL);
        kube_path_query_int(&path, "limit", limit);
        kube_path_query(&path, "continue", token);
        cluster_call(c, buf_ok(&path) ? path.data : NULL, NULL, false, &reply);
        /* A batch of a hundred machines tells much in its status: fewer at a time. */
        if (reply.status.err.kind == ERR_LIMIT && limit > 1) {
            limit = limit / 5 > 1 ? limit / 5 : 1;
            continue;
        }
        if (!cluster_ok(&reply)) {
            cluster_complain(&reply);
            cJSON_Delete(list);
            return NULL;
        }
        cJSON *more = cJSON_GetObjectItemCaseSensitive(reply.tree, "items");
        while ((item = cJSON_DetachItemFromArray(more, 0)))
            (void)cJSON_AddItemToArray(items, item);
        free(token);
        token = xstrdup(json_str(reply.tree, "metadata.continue"));
        if (str_empty(token))
            break;
    }
    return list;
}

static int show(const cJSON *list, const struct options *o, int64_t now_ms)
{
    const cJSON *item;
    struct table t = {0};
    if (str_eq(o->output, "json") || str_eq(o->output, "yaml")) {
        output_print(list, o->output);
        return CLI_OK;
    }
    cJSON_ArrayForEach (item, json_get(list, "items")) {
        if (!o->output) {
            table_add(&t, item, now_ms);
            continue;
        }
        CLEANUP_FREE char *name = cell_text(json_str(item, "metadata.name"));
        bool plain = str_eq(o->output, "plain");
        (void)printf("%s%s\n", plain ? "" : "wukong." WUKONG_GROUP "/", name);
    }
    if (!o->output && t.count)
        table_print(&t, o->all);
    else if (!o->output)
        (void)fputs("No Wukongs found.\n", stderr);
    table_release(&t);
    return CLI_OK;
}

int cli_list(int argc, char **argv)
{
    static const char *const outputs[] = {"json", "yaml", "name", "plain"};
    CLEANUP_CLUSTER struct cluster *c = NULL;
    struct options o = {0};
    struct flag_values arguments = {0};
    struct err err = {0};
    const struct flag flags[] = {
        {"all-namespaces", 'A', FLAG_SWITCH, &o.all, NULL, "of all namespaces", FLAG_ANY},
        {"output", 'o', FLAG_CHOICE, &o.output, "json|yaml|name|plain",
         "print the Wukongs, or their names, so", outputs, ARRAY_LEN(outputs)},
    };
    const struct verb_flags v = {&help, flags, ARRAY_LEN(flags), &o.connection};
    int code = flags_code(flags_parse(argc, argv, &v, &arguments));
    if (code >= 0)
        return code;
    if (arguments.count)
        return flags_complain(&help, "no arguments, please; 'status NAME' shows one");
    if (cluster_open(&o.connection, &c, &err) < 0) {
        (void)fprintf(stderr, "error: %s\n", err.message);
        return CLI_FAILED;
    }
    CLEANUP_JSON cJSON *list = list_all(c, o.all);
    return list ? show(list, &o, clock_wall(loop_clock(cluster_loop(c)))) : CLI_FAILED;
}
