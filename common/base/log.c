#include "base/log.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"

static void to_stderr(void *arg, const char *line, size_t n)
{
    (void)arg;
    /* One write per line, so that lines of several processes do not mix. */
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}

static struct {
    void (*sink)(void *arg, const char *line, size_t n);
    void *arg;
    const struct clock *clock;
    enum log_level level;
} state = {.sink = to_stderr, .clock = &clock_system, .level = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static_assert(sizeof level_names / sizeof *level_names == LOG_ERROR + 1, "a name per level");

void log_to(void (*sink)(void *arg, const char *line, size_t n), void *arg)
{
    state.sink = sink ? sink : to_stderr;
    state.arg = arg;
}

void log_clock(const struct clock *clock)
{
    state.clock = clock;
}

void log_level_set(enum log_level level)
{
    state.level = level;
}

bool log_shows(enum log_level level)
{
    return level >= state.level;
}

int log_level_parse(const char *word)
{
    for (int i = 0; i <= LOG_ERROR; i++)
        if (str_eq(word, level_names[i]))
            return i;
    return -1;
}

static void add_quoted(struct buf *b, const char *s)
{
    buf_addc(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_addf(b, "\\%c", c);
        else if (c < 0x20)
            buf_addf(b, "\\u%04x", c);
        else
            buf_addc(b, (char)c);
    }
    buf_addc(b, '"');
}

void log_write(enum log_level level, const char *msg, const struct log_pair *pairs, size_t n)
{
    if (!log_shows(level))
        return;
    CLEANUP_BUF struct buf b = BUF_INIT(LIMIT_LOG_LINE_BYTES);
    char now[TIME_TEXT_MAX];
    time_to_str(clock_wall(state.clock), true, now);
    buf_addf(&b, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", now, level_names[level]);
    add_quoted(&b, msg);
    for (size_t i = 0; i < n; i++) {
        buf_addc(&b, ',');
        add_quoted(&b, pairs[i].key);
        buf_addc(&b, ':');
        if (pairs[i].text)
            add_quoted(&b, pairs[i].text);
        else
            buf_addf(&b, "%lld", (long long)pairs[i].number);
    }
    buf_adds(&b, "}\n");
    if (!buf_ok(&b)) {
        buf_clear(&b);
        buf_addf(&b, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":\"log line too long\"}\n", now,
                 level_names[level]);
    }
    state.sink(state.arg, b.data, b.len);
}

int log_limited(struct log_limit *l, int64_t now_ms, int64_t interval_ms)
{
    if (now_ms < l->next_ms) {
        l->hidden++;
        return 0;
    }
    l->next_ms = now_ms + interval_ms;
    l->hidden = 0;
    return 1;
}
