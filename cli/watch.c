/* kubectl wukong status and why. */
#include <getopt.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/progress.h"
#include "json/json.h"
#include "wukong/spec.h"

#define WATCH_MS 500

static const struct kube_kind wukongs = {WUKONG_GROUP, WUKONG_VERSION_NAME, WUKONG_RESOURCE,
                                         WUKONG_KIND, false, .fields = {0}};

struct watch_options {
    struct cluster_options cluster;
    bool watch, help;
    const char *name;
};

static const struct option long_options[] = {
    {"namespace", required_argument, NULL, 'n'}, {"context", required_argument, NULL, 'c'},
    {"kubeconfig", required_argument, NULL, 'k'}, {"watch", no_argument, NULL, 'w'},
    {"help", no_argument, NULL, 'h'},            {0},
};

static bool parse(int argc, char **argv, struct watch_options *o)
{
    int option;
    while ((option = getopt_long(argc, argv, "n:wh", long_options, NULL)) != -1) {
        if (option == 'n')
            o->cluster.ns = optarg;
        else if (option == 'c')
            o->cluster.context = optarg;
        else if (option == 'k')
            o->cluster.kubeconfig = optarg;
        else if (option == 'w')
            o->watch = true;
        else if (option == 'h')
            o->help = true;
        else
            return false;
    }
    if (optind < argc)
        o->name = argv[optind++];
    return o->help || (o->name && optind == argc);
}

static unsigned terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        return size.ws_col;
    return 80;
}

static size_t lines_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* In a terminal the former picture is drawn over; in a pipe a line comes when it has changed. */
static void show(const cJSON *wukong, bool terminal, struct buf *last)
{
    CLEANUP_BUF struct buf text = BUF_INIT(1 * MIB);
    if (terminal)
        progress_bars(wukong, terminal_width() - 1, &text);
    else
        progress_line(wukong, &text);
    if (str_eq(text.data, last->data))
        return;
    if (terminal && last->len)
        (void)printf("\033[%zuA\033[J", lines_of(last->data));
    (void)fputs(text.data, stdout);
    (void)fflush(stdout);
    buf_clear(last);
    buf_add(last, text.data, text.len);
}

static int exit_code(enum progress_state state)
{
    switch (state) {
    case PROGRESS_SUCCEEDED:
    case PROGRESS_NO_CLONE:
        return CLI_OK;
    case PROGRESS_FAILED:
        return CLI_FAILED;
    default:
        return CLI_UNDER_WAY;
    }
}

static int complain(const char *name, const struct err *err)
{
    (void)fprintf(stderr, "kubectl wukong: %s: %s\n", name, err->message);
    return CLI_FAILED;
}

/* A watch survives a server that does not answer for a while; a Wukong that is gone ends it. */
static int follow(struct cluster *c, const struct watch_options *o)
{
    CLEANUP_BUF struct buf last = BUF_INIT(1 * MIB);
    bool terminal = isatty(STDOUT_FILENO);
    bool seen = false;
    for (;;) {
        CLEANUP_JSON cJSON *wukong = NULL;
        struct err err = {0};
        if (cluster_get(c, &wukongs, cluster_ns(c), o->name, &wukong, &err) < 0) {
            if (err.kind == ERR_NOT_FOUND && seen) {
                (void)printf("%s was deleted\n", o->name);
                return CLI_FAILED;
            }
            if (!o->watch || !seen || err.kind == ERR_REFUSED)
                return complain(o->name, &err);
        } else {
            seen = true;
            show(wukong, terminal, &last);
            enum progress_state state = progress_state(wukong);
            if (!o->watch || state != PROGRESS_RUNNING)
                return exit_code(state);
        }
        cluster_wait(c, WATCH_MS);
    }
}

int cli_status(int argc, char **argv)
{
    struct watch_options o = {0};
    CLEANUP_CLUSTER struct cluster *c = NULL;
    struct err err = {0};
    if (!parse(argc, argv, &o) || o.help) {
        (void)fputs("usage: kubectl wukong status NAME [-n NAMESPACE] [-w]\n"
                    "  -w  follow the clone to its end, a bar per disk\n"
                    "exit: 0 succeeded, 1 failed or gone, 2 usage, 3 under way\n",
                    o.help ? stdout : stderr);
        return o.help ? CLI_OK : CLI_USAGE;
    }
    if (cluster_open(&o.cluster, &c, &err) < 0)
        return complain("cluster", &err);
    return follow(c, &o);
}

int cli_why(int argc, char **argv)
{
    struct watch_options o = {0};
    CLEANUP_CLUSTER struct cluster *c = NULL;
    CLEANUP_JSON cJSON *wukong = NULL;
    CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
    struct err err = {0};
    if (!parse(argc, argv, &o) || o.help || o.watch) {
        (void)fputs("usage: kubectl wukong why NAME [-n NAMESPACE]\n"
                    "exit: 0 succeeded, 1 failed, 2 usage, 3 under way\n",
                    o.help ? stdout : stderr);
        return o.help ? CLI_OK : CLI_USAGE;
    }
    if (cluster_open(&o.cluster, &c, &err) < 0)
        return complain("cluster", &err);
    if (cluster_get(c, &wukongs, cluster_ns(c), o.name, &wukong, &err) < 0)
        return complain(o.name, &err);
    progress_why(wukong, &out);
    (void)fputs(out.data, stdout);
    return exit_code(progress_state(wukong));
}
