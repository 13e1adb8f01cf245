#include "cli/progress.h"

#include "cli/cli.h"

#include "base/mem.h"
#include "base/str.h"
#include "cli/terminal_text.h"
#include "json/json.h"
#include "json/writer.h"
#include "wukong/api/conditions.h"

#define COLUMNS_MIN 20
#define ROWS_MIN 3
#define BAR_MAX 30
#define MESSAGE_ROWS_MAX 6
#define DISKS_MAX 256

static const cJSON *clone_of(const cJSON *wukong)
{
    return json_at(wukong, "status.cloneStatus");
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

int progress_exit_code(const cJSON *wukong)
{
    switch (progress_state(wukong)) {
    case PROGRESS_SUCCEEDED:
    case PROGRESS_NO_CLONE:
        return CLI_OK;
    case PROGRESS_FAILED:
        return CLI_FAILED;
    case PROGRESS_RUNNING:
        break;
    }
    return CLI_UNDER_WAY;
}

static bool is_dying(const cJSON *wukong)
{
    return json_str(wukong, "metadata.deletionTimestamp") != NULL;
}

static unsigned percent(const char *text)
{
    unsigned v = 0;
    for (; text && *text >= '0' && *text <= '9' && v < 100; text++)
        v = v * 10 + (unsigned)(*text - '0');
    return v > 100 ? 100 : v;
}

/* --- What is counted --- */

struct tally {
    size_t done, all;
};

static struct tally disks_done(const cJSON *clone)
{
    struct tally t = {0};
    const cJSON *d;
    cJSON_ArrayForEach (d, json_get(clone, "disks")) {
        t.all++;
        t.done += percent(json_str(d, "progress")) == 100;
    }
    return t;
}

static struct tally machines_done(const cJSON *clone)
{
    struct tally t = {0};
    const cJSON *m;
    cJSON_ArrayForEach (m, json_get(clone, "targets")) {
        t.all++;
        t.done += str_eq(json_str(m, "phase"), "Ready");
    }
    return t;
}

/* "SourceNotFound: VM a/b does not exist"; nothing when the clone is done or nothing is said. */
static void add_reason(const cJSON *wukong, struct buf *out)
{
    const cJSON *ready = condition_find(json_at(wukong, "status.conditions"), "Ready");
    const char *message = json_str(ready, "message");
    if (progress_state(wukong) == PROGRESS_SUCCEEDED || str_empty(message))
        return;
    if (json_str(ready, "reason"))
        buf_addf(out, "%s: ", json_str(ready, "reason"));
    buf_adds(out, message);
}

/* --- Bars --- */

struct drawing {
    const struct progress_screen *s;
    unsigned columns, rows, label_columns;
    bool failed;
    struct buf *out;
};

static void colour(const struct drawing *d, const char *code)
{
    if (d->s->colour)
        buf_addf(d->out, "\033[%sm", code);
}

static void draw_bar(const struct drawing *d, const char *label, unsigned done, const char *word)
{
    unsigned rest = d->columns - d->label_columns - 1 - 5;
    unsigned bar = rest > BAR_MAX ? BAR_MAX : rest, full = bar * done / 100;
    terminal_text_add_padded(d->out, label, d->label_columns, d->s->ascii);
    buf_addc(d->out, ' ');
    colour(d, done == 100 ? "32" : d->failed ? "31" : "36");
    for (unsigned i = 0; i < bar; i++)
        buf_adds(d->out, i < full ? (d->s->ascii ? "#" : "█") : d->s->ascii ? "." : "░");
    colour(d, "0");
    buf_addf(d->out, " %3u%%", done);
    if (rest > bar + 2 && !str_empty(word)) {
        buf_addc(d->out, ' ');
        terminal_text_add_cut(d->out, word, rest - bar - 1, d->s->ascii);
    }
    buf_addc(d->out, '\n');
}

static void draw_disk(const struct drawing *d, const cJSON *disk)
{
    draw_bar(d, str_or(json_str(disk, "name"), "?"), percent(json_str(disk, "progress")),
             json_str(disk, "phase"));
}

/* Which of the disks are shown in so many rows: first those that are under way, then those that
   have not begun, then those that are done. */
static void choose_disks(const cJSON *disks, size_t rows, bool show[DISKS_MAX])
{
    for (int pass = 0; pass < 3; pass++) {
        const cJSON *disk;
        size_t i = 0;
        cJSON_ArrayForEach (disk, disks) {
            unsigned done = percent(json_str(disk, "progress"));
            int kind = done == 100 ? 2 : done == 0 ? 1 : 0;
            if (rows && i < DISKS_MAX && kind == pass) {
                show[i] = true;
                rows--;
            }
            i++;
        }
    }
}

static void draw_rest(const struct drawing *d, const cJSON *disks, const bool show[DISKS_MAX])
{
    const cJSON *disk;
    size_t i = 0, all = 0, done = 0;
    CLEANUP_BUF struct buf text = BUF_INIT(KIB);
    cJSON_ArrayForEach (disk, disks) {
        bool hidden = i >= DISKS_MAX || !show[i];
        all += hidden;
        done += hidden && percent(json_str(disk, "progress")) == 100;
        i++;
    }
    buf_addf(&text, "and %zu more: %zu done, %zu not", all, done, all - done);
    terminal_text_add_cut(d->out, text.data, d->columns, d->s->ascii);
    buf_addc(d->out, '\n');
}

static void draw_disks(const struct drawing *d, const cJSON *disks, size_t rows)
{
    bool show[DISKS_MAX] = {0};
    const cJSON *disk;
    size_t n = cJSON_IsArray(disks) ? (size_t)cJSON_GetArraySize(disks) : 0, i = 0;
    bool all = n <= rows && n <= DISKS_MAX;
    choose_disks(disks, all ? n : rows - 1, show);
    cJSON_ArrayForEach (disk, disks) {
        if (i < DISKS_MAX && show[i])
            draw_disk(d, disk);
        i++;
    }
    if (!all)
        draw_rest(d, disks, show);
}

static void draw_machines(const struct drawing *d, struct tally t)
{
    CLEANUP_BUF struct buf word = BUF_INIT(KIB);
    buf_addf(&word, "%zu of %zu ready", t.done, t.all);
    draw_bar(d, "machines", (unsigned)(t.done * 100 / t.all), word.data);
}

static void draw_head(const struct drawing *d, const cJSON *wukong)
{
    const cJSON *clone = clone_of(wukong);
    CLEANUP_BUF struct buf head = BUF_INIT(8 * KIB);
    CLEANUP_BUF struct buf tail = BUF_INIT(8 * KIB);
    buf_addf(&tail, "  %s  %s",
             is_dying(wukong) ? "Deleting" : str_or(json_str(clone, "phase"), "Pending"),
             str_or(json_str(clone, "progress"), "0%"));
    if (json_str(clone, "step") && progress_state(wukong) == PROGRESS_RUNNING)
        buf_addf(&tail, "  %s", json_str(clone, "step"));
    /* The name gives way, to a third; then the step. */
    unsigned wanted = terminal_text_columns(tail.data), name = d->columns / 3;
    if (d->columns > wanted && d->columns - wanted > name)
        name = d->columns - wanted;
    terminal_text_add_cut(&head, str_or(json_str(wukong, "metadata.name"), "?"), name, d->s->ascii);
    buf_adds(&head, tail.data);
    terminal_text_add_cut(d->out, head.data, d->columns, d->s->ascii);
    buf_addc(d->out, '\n');
}

static unsigned label_columns(const cJSON *disks, bool batch, unsigned columns)
{
    const cJSON *disk;
    unsigned n = batch ? (unsigned)strlen("machines") : 4;
    cJSON_ArrayForEach (disk, disks) {
        unsigned name = terminal_text_columns(str_or(json_str(disk, "name"), ""));
        n = name > n ? name : n;
    }
    return n > columns / 3 ? columns / 3 : n;
}

void progress_bars(const cJSON *wukong, const struct progress_screen *screen, struct buf *out)
{
    const cJSON *clone = clone_of(wukong), *disks = json_get(clone, "disks");
    struct tally machines = machines_done(clone);
    bool batch = machines.all > 1;
    unsigned columns = screen->columns < COLUMNS_MIN ? COLUMNS_MIN : screen->columns;
    unsigned rows = screen->rows < ROWS_MIN ? ROWS_MIN : screen->rows;
    struct drawing d = {.s = screen,
                        .columns = columns,
                        .rows = rows,
                        .label_columns = label_columns(disks, batch, columns),
                        .failed = progress_state(wukong) == PROGRESS_FAILED,
                        .out = out};
    CLEANUP_BUF struct buf reason = BUF_INIT(LIMIT_OBJECT_BYTES);
    CLEANUP_BUF struct buf message = BUF_INIT(LIMIT_OBJECT_BYTES);
    add_reason(wukong, &reason);
    draw_head(&d, wukong);
    rows--;
    /* At least one row stays for the disks. */
    unsigned most = d.failed ? MESSAGE_ROWS_MAX : 2;
    if (*reason.data)
        rows -= terminal_text_add_wrapped(&message, reason.data, columns, 0,
                                          most < rows - 1 ? most : rows - 1, screen->ascii);
    if (batch && rows > 1) {
        draw_machines(&d, machines);
        rows--;
    }
    if (cJSON_IsArray(disks) && disks->child)
        draw_disks(&d, disks, rows);
    buf_adds(out, message.data);
}

/* --- Lines --- */

void progress_line(const cJSON *wukong, struct buf *out)
{
    const cJSON *clone = clone_of(wukong);
    struct tally disks = disks_done(clone), machines = machines_done(clone);
    CLEANUP_BUF struct buf line = BUF_INIT(LIMIT_OBJECT_BYTES);
    CLEANUP_BUF struct buf reason = BUF_INIT(LIMIT_OBJECT_BYTES);
    buf_addf(&line, "%s %s %s", str_or(json_str(wukong, "metadata.name"), "?"),
             is_dying(wukong) ? "Deleting" : str_or(json_str(clone, "phase"), "Pending"),
             str_or(json_str(clone, "progress"), "0%"));
    if (json_str(clone, "step") && progress_state(wukong) == PROGRESS_RUNNING)
        buf_addf(&line, " %s", json_str(clone, "step"));
    if (disks.all)
        buf_addf(&line, " disks %zu/%zu", disks.done, disks.all);
    if (machines.all > 1)
        buf_addf(&line, " machines %zu/%zu", machines.done, machines.all);
    add_reason(wukong, &reason);
    if (*reason.data)
        buf_addf(&line, " (%s)", reason.data);
    terminal_text_add(out, line.data);
    buf_addc(out, '\n');
}

static void write_tally(struct json_writer *w, const char *key, struct tally t)
{
    json_object(w, key);
    json_number(w, "done", (int64_t)t.done);
    json_number(w, "all", (int64_t)t.all);
    json_end(w);
}

void progress_json(const cJSON *wukong, struct buf *out)
{
    struct json_writer w = json_writer(out);
    const cJSON *clone = clone_of(wukong), *d;
    const cJSON *ready = condition_find(json_at(wukong, "status.conditions"), "Ready");
    json_object(&w, NULL);
    json_string(&w, "name", json_str(wukong, "metadata.name"));
    json_string(&w, "namespace", json_str(wukong, "metadata.namespace"));
    json_string(&w, "phase",
                is_dying(wukong) ? "Deleting" : str_or(json_str(clone, "phase"), "Pending"));
    json_number(&w, "percent", percent(json_str(clone, "progress")));
    json_string(&w, "step", json_str(clone, "step"));
    json_string(&w, "consistency", json_str(clone, "consistency"));
    write_tally(&w, "disks", disks_done(clone));
    write_tally(&w, "machines", machines_done(clone));
    json_array(&w, "diskList");
    cJSON_ArrayForEach (d, json_get(clone, "disks")) {
        json_object(&w, NULL);
        json_string(&w, "name", json_str(d, "name"));
        json_string(&w, "phase", json_str(d, "phase"));
        json_number(&w, "percent", percent(json_str(d, "progress")));
        json_end(&w);
    }
    json_end(&w);
    if (progress_state(wukong) != PROGRESS_SUCCEEDED) {
        json_string(&w, "reason", json_str(ready, "reason"));
        json_string(&w, "message", json_str(ready, "message"));
    }
    json_end(&w);
}
