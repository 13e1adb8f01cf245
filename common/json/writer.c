#include "json/writer.h"

#include <assert.h>
#include <stdarg.h>

#include "base/mem.h"
#include "json/json.h"

void json_quote(struct buf *out, const char *s)
{
    buf_addc(out, '"');
    for (const char *run = s;; s++) {
        unsigned char c = (unsigned char)*s;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_add(out, run, (size_t)(s - run));
        run = s + 1;
        if (c == '\0')
            break;
        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        else if (c == '\n')
            buf_adds(out, "\\n");
        else
            buf_addf(out, "\\u%04x", c);
    }
    buf_addc(out, '"');
}

static void start_value(struct json_writer *w, const char *key)
{
    bool in_object = w->depth && w->close[w->depth - 1] == '}';
    assert(in_object == (key != NULL));
    (void)in_object;
    if (w->filled[w->depth])
        buf_addc(w->out, ',');
    w->filled[w->depth] = true;
    if (key) {
        json_quote(w->out, key);
        buf_addc(w->out, ':');
    }
}

static void open_container(struct json_writer *w, const char *key, char open, char close)
{
    assert(w->depth < JSON_WRITER_DEPTH);
    start_value(w, key);
    buf_addc(w->out, open);
    w->close[w->depth++] = close;
    w->filled[w->depth] = false;
}

void json_object(struct json_writer *w, const char *key)
{
    open_container(w, key, '{', '}');
}

void json_array(struct json_writer *w, const char *key)
{
    open_container(w, key, '[', ']');
}

void json_end(struct json_writer *w)
{
    assert(w->depth > 0);
    buf_addc(w->out, w->close[--w->depth]);
}

void json_string(struct json_writer *w, const char *key, const char *value)
{
    if (!value)
        return;
    start_value(w, key);
    json_quote(w->out, value);
}

void json_stringf(struct json_writer *w, const char *key, const char *format, ...)
{
    CLEANUP_BUF struct buf text = BUF_INIT(64 * KIB);
    va_list args;
    va_start(args, format);
    buf_vaddf(&text, format, args);
    va_end(args);
    json_string(w, key, text.data);
}

void json_number(struct json_writer *w, const char *key, int64_t value)
{
    start_value(w, key);
    buf_addf(w->out, "%lld", (long long)value);
}

void json_boolean(struct json_writer *w, const char *key, bool value)
{
    start_value(w, key);
    buf_adds(w->out, value ? "true" : "false");
}

void json_raw(struct json_writer *w, const char *key, const char *json)
{
    if (!json)
        return;
    start_value(w, key);
    buf_adds(w->out, json);
}

void json_tree(struct json_writer *w, const char *key, const cJSON *tree)
{
    if (!tree)
        return;
    CLEANUP_FREE char *text = json_print(tree);
    json_raw(w, key, text);
}
