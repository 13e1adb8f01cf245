#include "cli/follow.h"

#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "apimachinery/duration.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "json/json.h"
#include "json/writer.h"
#include "kube/reflector.h"
#include "wukong/api/spec.h"

#define PICTURE_BYTES (1u * MIB)
/* A token that was refused may be replaced in its file meanwhile; this long it is tried. */
#define UNAUTHORIZED_MS 60000

struct follow {
    struct cluster *cluster;
    const char *name;
    int64_t timeout_ms;
    struct kube_kind kind;
    char *selector;
    struct store *store;
    struct reflector *reflector;
    struct timer timeout;
    cJSON *wukong; /* as last seen; NULL: not yet */
    struct buf last;
    bool terminal, quiet, done;
    int code;
    int64_t lost_ms, unauthorized_ms; /* monotonic; 0: all is well */
};

/* --- Showing --- */

/* As most programs decide it: https://no-color.org, and a terminal that cannot move its cursor. */
static bool is_terminal(void)
{
    return isatty(STDOUT_FILENO) && !str_eq(getenv("TERM"), "dumb");
}

/* POSIX: the first of the three that is set and not empty. */
static bool is_ascii(void)
{
    const char *locale = str_or(getenv("LC_ALL"), str_or(getenv("LC_CTYPE"), getenv("LANG")));
    return !locale || !(strcasestr(locale, "utf-8") || strcasestr(locale, "utf8"));
}

static struct progress_screen read_screen(void)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col || !size.ws_row)
        size = (struct winsize){.ws_col = 80, .ws_row = 24};
    /* The last column stays free: a terminal may wrap behind it. The last row has the cursor. */
    return (struct progress_screen){.columns = size.ws_col - 1u,
                                    .rows = size.ws_row - 1u,
                                    .colour = str_empty(getenv("NO_COLOR")),
                                    .ascii = is_ascii()};
}

static size_t lines_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Over the former picture, line by line, so that nothing flickers. */
static void draw(struct follow *f, const char *picture)
{
    if (f->last.len)
        (void)printf("\033[%zuA\r", lines_of(f->last.data));
    while (*picture) {
        size_t n = strcspn(picture, "\n");
        (void)printf("%.*s\033[K\n", (int)n, picture);
        picture += n + (picture[n] == '\n');
    }
    (void)fputs("\033[J", stdout);
}

static void show_screen(struct follow *f)
{
    CLEANUP_BUF struct buf text = BUF_INIT(PICTURE_BYTES);
    if (!f->wukong || (f->quiet && progress_exit_code(f->wukong) == CLI_UNDER_WAY))
        return;
    if (f->terminal) {
        struct progress_screen screen = read_screen();
        screen.rows -= f->lost_ms && screen.rows > 1;
        progress_bars(f->wukong, &screen, &text);
        if (f->lost_ms)
            buf_adds(&text, "(connection lost)\n");
    } else {
        progress_line(f->wukong, &text);
    }
    if (str_eq(text.data, f->last.data))
        return;
    if (f->terminal)
        draw(f, text.data);
    else
        (void)fputs(text.data, stdout);
    (void)fflush(stdout);
    buf_clear(&f->last);
    buf_add(&f->last, text.data, text.len);
}

int follow_show(const cJSON *wukong)
{
    CLEANUP_BUF struct buf text = BUF_INIT(PICTURE_BYTES);
    struct progress_screen screen = read_screen();
    screen.rows = UINT16_MAX; /* nothing is drawn over: all of it is shown */
    if (is_terminal())
        progress_bars(wukong, &screen, &text);
    else
        progress_line(wukong, &text);
    (void)fputs(text.data, stdout);
    return progress_exit_code(wukong);
}

/* --- Watching --- */

static void end(struct follow *f, int code)
{
    f->done = true;
    f->code = code;
}

/* The object again, as far as the store kept it. */
static cJSON *tree_of(const struct kube_object *o)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct json_writer w = json_writer(&text);
    struct err err = {0};
    cJSON *tree = NULL;
    json_object(&w, NULL);
    json_object(&w, "metadata");
    json_string(&w, "name", o->name);
    json_string(&w, "namespace", o->ns);
    json_string(&w, "deletionTimestamp", kube_object_field(o, "metadata.deletionTimestamp"));
    json_end(&w);
    json_raw(&w, "spec", kube_object_field(o, "spec"));
    json_raw(&w, "status", kube_object_field(o, "status"));
    json_end(&w);
    return json_read(text.data, text.len, &tree, &err) < 0 ? NULL : tree;
}

static void on_change(void *arg, const struct kube_object *before, const struct kube_object *after)
{
    struct follow *f = arg;
    (void)before;
    if (f->done)
        return;
    if (!after) {
        (void)printf("%s was deleted\n", f->name);
        end(f, CLI_GONE);
        return;
    }
    cJSON *tree = tree_of(after);
    if (!tree)
        return;
    cJSON_Delete(f->wukong);
    f->wukong = tree;
    show_screen(f);
    if (progress_exit_code(tree) != CLI_UNDER_WAY)
        end(f, progress_exit_code(tree));
}

static void on_turned(void *arg)
{
    struct follow *f = arg;
    if (f->done || f->wukong || !reflector_synced(f->reflector))
        return;
    if (!reflector_served(f->reflector))
        (void)fprintf(stderr, "error: the server doesn't have a resource type \"" WUKONG_RESOURCE
                              "\"; is Wukong Clone installed in it?\n");
    else if (!store_get(f->store, cluster_ns(f->cluster), f->name))
        (void)fprintf(stderr,
                      "Error from server (NotFound): " WUKONG_RESOURCE "." WUKONG_GROUP
                      " \"%s\" not found\n",
                      f->name);
    else
        return;
    end(f, CLI_FAILED);
}

static bool is_hopeless(struct follow *f, const struct err *err, int64_t now_ms)
{
    /* What was there before may come back; what never was is told at once, as kubectl does. */
    bool lost = err->kind == ERR_UNAVAILABLE || err->kind == ERR_AMBIGUOUS;
    if (err->kind == ERR_UNAUTHORIZED) {
        f->unauthorized_ms = f->unauthorized_ms ? f->unauthorized_ms : now_ms;
        return !f->wukong || now_ms - f->unauthorized_ms > UNAUTHORIZED_MS;
    }
    return err->kind == ERR_REFUSED || (!f->wukong && lost);
}

static void on_failed(void *arg, const struct kube_kind *kind, const struct err *err)
{
    struct follow *f = arg;
    int64_t now_ms = loop_now(cluster_loop(f->cluster));
    (void)kind;
    if (f->done || err->kind == ERR_EXPIRED)
        return;
    if (is_hopeless(f, err, now_ms)) {
        (void)fprintf(stderr, "kubectl wukong: %s\n", err->message);
        end(f, CLI_FAILED);
        return;
    }
    if (!f->lost_ms && !f->terminal)
        (void)fprintf(stderr, "kubectl wukong: %s; trying again\n", err->message);
    if (!f->lost_ms)
        f->lost_ms = now_ms;
    show_screen(f);
}

/* A list or a watch that has answered since. */
static void look_whether_it_is_back(struct follow *f)
{
    if ((!f->lost_ms && !f->unauthorized_ms) || f->done ||
        reflector_state_of(f->reflector)->phase != REFLECTOR_WATCHING ||
        reflector_heard_ms(f->reflector) <= f->lost_ms)
        return;
    f->lost_ms = f->unauthorized_ms = 0;
    show_screen(f);
}

static void on_timeout(void *arg)
{
    struct follow *f = arg;
    char length[DURATION_PRINT_MAX];
    duration_print(f->timeout_ms, length);
    (void)fprintf(stderr, "error: timed out after %s; the clone continues\n", length);
    end(f, CLI_UNDER_WAY);
}

static void on_resize(void *arg, int signo)
{
    (void)signo;
    show_screen(arg);
}

static int begin_follow(struct follow *f, struct rng *rng, struct err *err)
{
    struct loop *loop = cluster_loop(f->cluster);
    const struct kube_client *client = cluster_client(f->cluster);
    f->kind = cluster_wukongs;
    f->kind.fields[0] = "spec";
    f->kind.fields[1] = "status";
    f->kind.fields[2] = "metadata.deletionTimestamp";
    f->selector = xasprintf("metadata.name=%s", f->name);
    f->kind.field_selector = f->selector;
    f->store = store_new(&f->kind);
    store_listen(f->store, (struct store_listener){on_change, f});
    f->reflector = reflector_new(&(struct reflector_options){.store = f->store,
                                                             .ns = cluster_ns(f->cluster),
                                                             .transport = client->transport,
                                                             .clock = client->clock,
                                                             .timers = client->timers,
                                                             .rng = rng,
                                                             .turned = on_turned,
                                                             .failed = on_failed,
                                                             .arg = f});
    timer_init(&f->timeout, on_timeout, f);
    if (f->timeout_ms)
        timer_arm(loop_timers(loop), &f->timeout, loop_now(loop) + f->timeout_ms);
    if (f->terminal && loop_on_signal(loop, SIGWINCH, on_resize, f, err) < 0)
        return -1;
    reflector_start(f->reflector);
    return 0;
}

int follow_wukong(struct cluster *c, const char *name, int64_t timeout_ms, enum follow_how how)
{
    struct follow f = {.cluster = c,
                       .name = name,
                       .timeout_ms = timeout_ms,
                       .quiet = how == FOLLOW_QUIET,
                       .terminal = how == FOLLOW_SHOWN && is_terminal(),
                       .last = BUF_INIT(PICTURE_BYTES)};
    struct rng rng;
    struct err err = {0};
    rng_seed_system(&rng);
    if (begin_follow(&f, &rng, &err) < 0) {
        (void)fprintf(stderr, "kubectl wukong: %s\n", err.message);
        end(&f, CLI_FAILED);
    }
    while (!f.done) {
        loop_turn(cluster_loop(c), 1000);
        look_whether_it_is_back(&f);
    }
    timer_cancel(loop_timers(cluster_loop(c)), &f.timeout);
    reflector_free(f.reflector);
    store_free(f.store);
    cJSON_Delete(f.wukong);
    buf_release(&f.last);
    free(f.selector);
    return f.code;
}
