/* kubectl wukong status and why: what a Wukong in the cluster says of itself. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/follow.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/why.h"
#include "json/json.h"
#include "wukong/api/spec.h"

struct options {
    struct flag_connection connection;
    bool watch;
    int64_t timeout_ms;
    const char *name, *output;
};

static const struct verb_help status_help = {
    .verb = "status",
    .arguments = "NAME",
    .summary =
        "Shows how far a clone is: a bar for each disk in a terminal, one plain line elsewhere.\n"
        "With -w it follows the clone to its end; into a pipe it writes one line for each change.\n"
        "It honours NO_COLOR. With -o it prints one object, for scripts.",
    .examples = "  kubectl wukong status copy\n"
                "  kubectl wukong status copy -w --timeout=30m\n"
                "  kubectl wukong status copy -w | tee clone.log\n",
    .exits = "  0  it has succeeded\n"
             "  1  it has failed, does not exist, or cannot be read\n"
             "  2  wrong usage\n"
             "  3  it is under way (without -w), or the timeout has passed\n"
             "  4  it was deleted while it was watched\n",
};

static const struct verb_help why_help = {
    .verb = "why",
    .arguments = "NAME",
    .summary =
        "Shows what a clone waits for, or why it failed, until when, and what to do about it.",
    .examples = "  kubectl wukong why copy\n"
                "  kubectl wukong why copy -n prod -o json\n",
    .exits = "  0  it has succeeded: nothing is in its way\n"
             "  1  it has failed, does not exist, or cannot be read\n"
             "  2  wrong usage\n"
             "  3  it is under way, or waits\n",
};

/* >= 0: exit with that code. */
static int parse_status(int argc, char **argv, struct verb_flags v, struct options *o,
                        struct cluster **ret)
{
    struct flag_values arguments = {0};
    struct err err = {0};
    v.connection = &o->connection;
    int code = flags_code(flags_parse(argc, argv, &v, &arguments));
    if (code >= 0)
        return code;
    if (arguments.count != 1)
        return flags_complain(v.help, arguments.count ? "only one NAME, please"
                                                      : "the NAME of a Wukong is missing");
    o->name = cluster_bare_name(arguments.items[0]);
    if (o->timeout_ms && !o->watch)
        return flags_complain(v.help, "--timeout needs --watch");
    if (o->output && o->watch)
        return flags_complain(v.help, "--output prints one state; it contradicts --watch");
    if (cluster_open(&o->connection, ret, &err) < 0) {
        (void)fprintf(stderr, "error: %s\n", err.message);
        return CLI_FAILED;
    }
    return -1;
}

/* json: one object. */
static int print_as(struct buf *json, const char *format)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    if (!buf_ok(json) || json_read(json->data, json->len, &tree, &err) < 0)
        return CLI_FAILED;
    output_print(tree, format);
    return CLI_OK;
}

int cli_status(int argc, char **argv)
{
    CLEANUP_CLUSTER struct cluster *c = NULL;
    CLEANUP_REPLY struct cluster_reply reply = {0};
    struct options o = {0};
    const struct flag flags[] = {
        {"watch", 'w', FLAG_SWITCH, &o.watch, NULL, "follow the clone to its end", FLAG_ANY},
        {"timeout", 0, FLAG_DURATION, &o.timeout_ms, "DURATION",
         "with -w: stop watching after that long (0: never)", FLAG_ANY},
        {"output", 'o', FLAG_CHOICE, &o.output, "json|yaml", "print one object", output_formats,
         ARRAY_LEN(output_formats)},
    };
    const struct verb_flags v = {&status_help, flags, ARRAY_LEN(flags), NULL};
    int code = parse_status(argc, argv, v, &o, &c);
    if (code >= 0)
        return code;
    if (o.watch)
        return follow_wukong(c, o.name, o.timeout_ms, FOLLOW_SHOWN);
    cluster_get(c, &cluster_wukongs, cluster_ns(c), o.name, &reply);
    if (!cluster_ok(&reply)) {
        cluster_complain(&reply);
        return CLI_FAILED;
    }
    if (!o.output)
        return follow_show(reply.tree);
    CLEANUP_BUF struct buf json = BUF_INIT(LIMIT_OBJECT_BYTES);
    progress_json(reply.tree, &json);
    code = print_as(&json, o.output);
    return code == CLI_OK ? progress_exit_code(reply.tree) : code;
}

int cli_why(int argc, char **argv)
{
    CLEANUP_CLUSTER struct cluster *c = NULL;
    CLEANUP_REPLY struct cluster_reply reply = {0};
    CLEANUP_BUF struct buf out = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct options o = {0};
    const struct flag flags[] = {
        {"output", 'o', FLAG_CHOICE, &o.output, "json|yaml", "print one object", output_formats,
         ARRAY_LEN(output_formats)},
    };
    const struct verb_flags v = {&why_help, flags, ARRAY_LEN(flags), NULL};
    int code = parse_status(argc, argv, v, &o, &c);
    if (code >= 0)
        return code;
    cluster_get(c, &cluster_wukongs, cluster_ns(c), o.name, &reply);
    if (!cluster_ok(&reply)) {
        cluster_complain(&reply);
        return CLI_FAILED;
    }
    int64_t now_ms = clock_wall(loop_clock(cluster_loop(c)));
    if (o.output) {
        why_json(reply.tree, now_ms, &out);
        code = print_as(&out, o.output);
        return code == CLI_OK ? progress_exit_code(reply.tree) : code;
    }
    why_text(reply.tree, now_ms, &out);
    (void)fputs(out.data, stdout);
    return progress_exit_code(reply.tree);
}
