#include "cli/progress.h"

#include "base/str.h"
#include "json/json.h"
#include "wukong/reasons.h"

#define WIDTH_MIN 20
#define BAR_MAX 30

static const cJSON *clone_of(const cJSON *wukong)
{
    return json_at(wukong, "status.cloneStatus");
}

static const cJSON *condition(const cJSON *wukong, const char *type)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, json_at(wukong, "status.conditions"))
        if (str_eq(json_str(c, "type"), type))
            return c;
    return NULL;
}

enum progress_state progress_state(const cJSON *wukong)
{
    const char *phase = json_str(clone_of(wukong), "phase");
    if (!json_at(wukong, "spec.cloneSource"))
        return PROGRESS_NO_CLONE;
    if (str_eq(phase, "Succeeded"))
        return PROGRESS_SUCCEEDED;
    return str_eq(phase, "Failed") ? PROGRESS_FAILED : PROGRESS_RUNNING;
}

static unsigned percent(const char *text)
{
    unsigned v = 0;
    for (; text && *text >= '0' && *text <= '9' && v < 100; text++)
        v = v * 10 + (unsigned)(*text - '0');
    return v > 100 ? 100 : v;
}

/* Cuts at a character and marks the cut; every character counts as one column. */
static void add_cut(struct buf *out, const char *text, unsigned columns)
{
    unsigned used = 0;
    size_t n = 0, last = 0;
    while (text[n]) {
        size_t step = 1;
        while (((unsigned char)text[n + step] & 0xC0) == 0x80)
            step++;
        if (used == columns)
            break;
        last = n;
        n += step;
        used++;
    }
    if (text[n] && used) {
        buf_add(out, text, last);
        buf_adds(out, "…");
    } else {
        buf_add(out, text, n);
    }
}

static void add_line(struct buf *out, unsigned width, const char *text)
{
    add_cut(out, text, width);
    buf_addc(out, '\n');
}

static void bar(struct buf *out, unsigned columns, unsigned done)
{
    unsigned full = columns * done / 100;
    for (unsigned i = 0; i < columns; i++)
        buf_adds(out, i < full ? "█" : "░");
}

static void disk_bar(const cJSON *disk, unsigned width, unsigned name_columns, struct buf *out)
{
    unsigned done = percent(json_str(disk, "progress"));
    const char *name = str_or(json_str(disk, "name"), "?");
    unsigned rest = width - name_columns - 1 - 5;
    unsigned bar_columns = rest > BAR_MAX ? BAR_MAX : rest;
    size_t shown = strlen(name);
    add_cut(out, name, name_columns);
    for (size_t i = shown; i < name_columns; i++)
        buf_addc(out, ' ');
    buf_addc(out, ' ');
    bar(out, bar_columns, done);
    buf_addf(out, " %3u%%", done);
    if (rest > bar_columns + 2) {
        buf_addc(out, ' ');
        add_cut(out, str_or(json_str(disk, "phase"), ""), rest - bar_columns - 1);
    }
    buf_addc(out, '\n');
}

void progress_bars(const cJSON *wukong, unsigned width, struct buf *out)
{
    const cJSON *clone = clone_of(wukong);
    width = width < WIDTH_MIN ? WIDTH_MIN : width;
    CLEANUP_BUF struct buf head = BUF_INIT(4096);
    buf_addf(&head, "%s  %s  %s  %s", str_or(json_str(wukong, "metadata.name"), "?"),
             str_or(json_str(clone, "phase"), "Pending"), str_or(json_str(clone, "progress"), "0%"),
             str_or(json_str(clone, "step"), ""));
    add_line(out, width, head.data);
    unsigned name_columns = 4;
    const cJSON *disk;
    cJSON_ArrayForEach(disk, json_get(clone, "disks"))
    {
        unsigned n = (unsigned)strlen(str_or(json_str(disk, "name"), ""));
        name_columns = n > name_columns ? n : name_columns;
    }
    name_columns = name_columns > width / 3 ? width / 3 : name_columns;
    cJSON_ArrayForEach(disk, json_get(clone, "disks"))
        disk_bar(disk, width, name_columns, out);
    const cJSON *ready = condition(wukong, "Ready");
    if (progress_state(wukong) != PROGRESS_SUCCEEDED && json_str(ready, "message")) {
        CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_OBJECT_BYTES);
        buf_addf(&text, "%s: %s", str_or(json_str(ready, "reason"), ""),
                 json_str(ready, "message"));
        add_line(out, width, text.data);
    }
}

void progress_line(const cJSON *wukong, struct buf *out)
{
    const cJSON *clone = clone_of(wukong);
    const cJSON *ready = condition(wukong, "Ready");
    buf_addf(out, "%s %s %s", str_or(json_str(wukong, "metadata.name"), "?"),
             str_or(json_str(clone, "phase"), "Pending"), str_or(json_str(clone, "progress"), "0%"));
    if (json_str(clone, "step"))
        buf_addf(out, " %s", json_str(clone, "step"));
    if (progress_state(wukong) != PROGRESS_SUCCEEDED && json_str(ready, "message"))
        buf_addf(out, " (%s: %s)", str_or(json_str(ready, "reason"), ""),
                 json_str(ready, "message"));
    buf_addc(out, '\n');
}

static void success(const cJSON *wukong, struct buf *out)
{
    const cJSON *clone = clone_of(wukong);
    buf_addf(out, "%s is done: VirtualMachine %s, %s", str_or(json_str(wukong, "metadata.name"), "?"),
             str_or(json_str(wukong, "status.vmName"), "?"),
             str_or(json_str(clone, "consistency"), "consistency unknown"));
    int64_t frozen;
    if (json_int(clone, "freezeMilliseconds", &frozen))
        buf_addf(out, ", guest frozen for %lld ms", (long long)frozen);
    buf_adds(out, ".\n");
}

void progress_why(const cJSON *wukong, struct buf *out)
{
    const cJSON *clone = clone_of(wukong);
    const cJSON *ready = condition(wukong, "Ready");
    const char *name = str_or(json_str(wukong, "metadata.name"), "?");
    enum progress_state state = progress_state(wukong);
    if (state == PROGRESS_NO_CLONE) {
        buf_addf(out, "%s has no cloneSource: it is no clone, and the worker leaves it alone.\n",
                 name);
        return;
    }
    if (state == PROGRESS_SUCCEEDED) {
        success(wukong, out);
        return;
    }
    if (!ready) {
        buf_addf(out, "%s has not been looked at yet: is the worker running?\n"
                      "    kubectl get deployment -A -l app.kubernetes.io/component=worker\n",
                 name);
        return;
    }
    const char *reason = str_or(json_str(ready, "reason"), "Unknown");
    buf_addf(out, "%s %s: %s\n    %s\n", name,
             state == PROGRESS_FAILED ? "has failed" : "is under way", reason,
             str_or(json_str(ready, "message"), ""));
    const char *error = json_str(clone, "lastError.reason");
    if (error && !str_eq(error, reason))
        buf_addf(out, "Last error: %s\n    %s\n", error,
                 str_or(json_str(clone, "lastError.message"), ""));
    const char *remedy = reason_table[reason_find(reason)].remedy;
    if (remedy)
        buf_addf(out, "What to do: %s\n", remedy);
    if (state == PROGRESS_FAILED)
        buf_addf(out, "To try again: kubectl annotate wukong %s vm.novasphere.dev/retry=\"$(date)\" "
                      "--overwrite\n",
                 name);
}
