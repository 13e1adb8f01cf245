/*
 * Log lines: JSON objects on one sink, with time, level, msg, then key/value pairs. Library code
 * returns errors and logs nothing above debug; the outermost function logs each failure once. msg
 * is lower case without variable parts. Never tokens, keys or whole objects.
 *
 *     log_event(LOG_INFO, "snapshot taken", LOG_S("wukong", key), LOG_I("frozen_ms", ms));
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_pair {
    const char *key;
    const char *text; /* NULL: number is meant */
    int64_t number;
};
/* A function, because clang warns of a literal that is asked whether it is NULL. */
static inline const char *log_text(const char *text)
{
    return text ? text : "";
}

#define LOG_S(k, v) ((struct log_pair){.key = (k), .text = log_text(v)})
#define LOG_I(k, v) ((struct log_pair){.key = (k), .number = (int64_t)(v)})

/* Where lines go (default: standard error) and which clock stamps them. */
void log_to(void (*sink)(void *arg, const char *line, size_t n), void *arg);
void log_clock(const struct clock *clock);
void log_level_set(enum log_level level);
/* Lines of that level are written. */
bool log_shows(enum log_level level);
/* "debug", "info", "warn", "error"; -1 for another word. */
int log_level_parse(const char *word);

void log_write(enum log_level level, const char *msg, const struct log_pair *pairs, size_t n);
#define log_event(level, msg, ...)                                                                 \
    do {                                                                                           \
        const struct log_pair pairs_[] = {{0}, ##__VA_ARGS__};                                     \
        log_write((level), (msg), pairs_ + 1, sizeof pairs_ / sizeof *pairs_ - 1);                 \
    } while (0)

/* For messages that repeat: true at most once every interval_ms per struct; counts what it hid. */
struct log_limit {
    int64_t next_ms;
    uint64_t hidden;
};
int log_limited(struct log_limit *l, int64_t now_ms, int64_t interval_ms);

#endif
