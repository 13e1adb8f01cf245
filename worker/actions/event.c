/* What the user is told by Events; see event.h. */
#include "actions/event.h"
#include "observe/queries.h"
#include "observe/resources.h"
#include "wukong/api/child_names.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"
#include "json/writer.h"

/* Attempts are counted anew after the retry annotation: what it says tells the runs apart. */
static char *event_run(const struct clone_state *v)
{
    const char *token = v->record.retry_token;
    if (!token && !record_final(&v->record) && !str_empty(v->retry))
        token = v->retry;
    return token ? xasprintf("-%08x", (unsigned)str_hash64(token, strlen(token))) : xstrdup("");
}

void create_event_about(const struct clone_state *v, struct decision *d, bool warning,
                        const char *what, const char *about, const char *format, ...)
{
    CLEANUP_BUF struct buf message = BUF_INIT(8192);
    CLEANUP_BUF struct buf out = BUF_INIT(16384);
    char now[TIME_TEXT_MAX];
    va_list args;
    va_start(args, format);
    buf_vaddf(&message, format, args);
    va_end(args);
    /* An Event's message holds at most 1024 bytes (API server, ValidateEvent). */
    if (message.len > 1000) {
        size_t cut = 1000;
        while (cut && ((unsigned char)message.data[cut] & 0xC0) == 0x80)
            cut--;
        message.data[cut] = '\0';
    }
    /* Name and UID make it the same Event however often it is sent. */
    char name[NAME_BUF];
    CLEANUP_FREE char *run = event_run(v);
    CLEANUP_FREE char *of =
        about ? xasprintf("-%08x", (unsigned)str_hash64(about, strlen(about))) : xstrdup("");
    CLEANUP_FREE char *full = xasprintf("%s-%.8s-%s-%lld%s%s", v->wukong->name, v->wukong->uid,
                                        what, (long long)clone_attempt(v), run, of);
    for (char *c = full; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    name_shorten(full, name);
    time_to_str(v->now.wall_ms, false, now);
    struct json_writer w = json_writer(&out);
    json_object(&w, NULL);
    json_string(&w, "apiVersion", "v1");
    json_string(&w, "kind", "Event");
    json_object(&w, "metadata");
    json_string(&w, "name", name);
    json_string(&w, "namespace", v->wukong->ns);
    json_end(&w);
    json_object(&w, "involvedObject");
    json_string(&w, "apiVersion", WUKONG_API_VERSION);
    json_string(&w, "kind", WUKONG_KIND);
    json_string(&w, "namespace", v->wukong->ns);
    json_string(&w, "name", v->wukong->name);
    json_string(&w, "uid", v->wukong->uid);
    json_end(&w);
    json_string(&w, "type", warning ? "Warning" : "Normal");
    json_string(&w, "reason", what);
    json_string(&w, "message", message.data);
    json_object(&w, "source");
    json_string(&w, "component", "wukong-worker");
    json_end(&w);
    json_string(&w, "reportingComponent", "vm.novasphere.dev/wukong-worker");
    json_string(&w, "firstTimestamp", now);
    json_string(&w, "lastTimestamp", now);
    json_number(&w, "count", 1);
    json_end(&w);
    struct intent *i = intents_add(&d->intents, INTENT_EVENT, &worker_kinds[KIND_EVENT],
                                   v->wukong->ns, name, call_key_named(CALL_EVENT, name));
    i->body = buf_ok(&out) ? arena_strndup(v->arena, out.data, out.len) : NULL;
}
