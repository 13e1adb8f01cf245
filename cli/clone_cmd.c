/* kubectl wukong clone: writes a Wukong, or creates it, and may wait for the clone. */
#include <stdio.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/output.h"
#include "cli/follow.h"
#include "json/json.h"
#include "json/writer.h"
#include "wukong/api/spec.h"
#include "wukong/rules/findings.h"
#include "wukong/rules/validate.h"
#include "yaml/emit.h"

struct options {
    struct flag_connection connection;
    const char *source, *name, *source_ns, *type, *clone_type, *quiesce, *class, *memory;
    const char *method, *group_class;
    const char *dry_run, *output;
    struct flag_values disks, secrets;
    int64_t replicas, cpu, timeout_ms;
    bool no_start, wait, watch;
};

static const char *const dry_runs[] = {"none", "client", "server"};
static const char *const outputs[] = {"yaml", "json", "name"};

static const struct verb_help help = {
    .verb = "clone",
    .arguments = "[vm/|vmi/]SOURCE",
    .summary = "Asks for a clone: creates a Wukong, or writes it (--dry-run=client -o yaml).\n"
               "SOURCE alone is a running VirtualMachineInstance.",
    .examples =
        "  # a running machine, followed to the end\n"
        "  kubectl wukong clone shop -w\n"
        "  # three machines from one snapshot, of the root disk only, which grows\n"
        "  kubectl wukong clone shop --name lab --replicas 3 --disk root=40Gi\n"
        "  # a manifest for Git\n"
        "  kubectl wukong clone vm/golden --source-namespace images --dry-run=client -o yaml\n"
        "  # would it be accepted?\n"
        "  kubectl wukong clone shop --dry-run=server\n",
    .exits = "  0  created, or, with --wait or --watch, the clone has succeeded\n"
             "  1  refused, or the clone has failed\n"
             "  2  wrong usage\n"
             "  3  the timeout has passed; the clone continues\n"
             "  4  the Wukong was deleted while it was waited for\n",
};

/* --- The Wukong --- */

/* "name[=size][,storageClass]" */
static void write_disk(struct json_writer *w, const char *text)
{
    size_t n = strcspn(text, ",");
    size_t name = strcspn(text, "=,");
    json_object(w, NULL);
    json_stringf(w, "name", "%.*s", (int)name, text);
    if (text[name] == '=')
        json_stringf(w, "size", "%.*s", (int)(n - name - 1), text + name + 1);
    json_string(w, "storageClassName", text[n] ? text + n + 1 : NULL);
    json_end(w);
}

static void write_source(struct json_writer *w, const struct options *o)
{
    json_object(w, "cloneSource");
    json_string(w, "type", o->type);
    json_string(w, str_eq(o->type, "vm") ? "vmName" : "vmiName", o->source);
    json_string(w, "namespace", o->source_ns);
    json_string(w, "cloneType", o->clone_type);
    json_string(w, "quiesce", o->quiesce);
    json_string(w, "snapshotMethod", o->method);
    json_string(w, "volumeSnapshotClassName", o->class);
    json_string(w, "volumeGroupSnapshotClassName", o->group_class);
    if (o->secrets.count) {
        json_array(w, "allowSecrets");
        for (size_t i = 0; i < o->secrets.count; i++)
            json_string(w, NULL, o->secrets.items[i]);
        json_end(w);
    }
    json_end(w);
}

static void write_spec(struct json_writer *w, const struct options *o)
{
    json_object(w, "spec");
    if (o->cpu)
        json_number(w, "cpu", o->cpu);
    json_string(w, "memory", o->memory);
    write_source(w, o);
    if (o->disks.count) {
        json_array(w, "disks");
        for (size_t i = 0; i < o->disks.count; i++)
            write_disk(w, o->disks.items[i]);
        json_end(w);
    }
    if (o->replicas)
        json_number(w, "replicas", o->replicas);
    if (o->no_start) {
        json_object(w, "startStrategy");
        json_boolean(w, "autoStart", false);
        json_end(w);
    }
    json_end(w);
}

static void write_wukong(const struct options *o, const char *ns, struct buf *out)
{
    struct json_writer w = json_writer(out);
    json_object(&w, NULL);
    json_string(&w, "apiVersion", WUKONG_API_VERSION);
    json_string(&w, "kind", WUKONG_KIND);
    json_object(&w, "metadata");
    if (o->name)
        json_string(&w, "name", o->name);
    else
        json_stringf(&w, "name", "%s-clone", o->source);
    json_string(&w, "namespace", ns);
    json_end(&w);
    write_spec(&w, o);
    json_end(&w);
}

/* --- Printing --- */

static void print_result(const struct options *o, const cJSON *tree)
{
    const char *name = str_or(json_str(tree, "metadata.name"), "?");
    if (str_eq(o->output, "name"))
        (void)printf("wukong." WUKONG_GROUP "/%s\n", name);
    else if (o->output)
        output_print(tree, o->output);
    else
        (void)printf("wukong." WUKONG_GROUP "/%s created%s\n", name,
                     str_eq(o->dry_run, "client")   ? " (dry run)"
                     : str_eq(o->dry_run, "server") ? " (server dry run)"
                                                    : "");
}

/* The webhook's own rules; true when there is nothing to complain of. Said as a server would. */
static bool judge_clone(const cJSON *tree)
{
    CLEANUP_FINDINGS struct findings findings;
    findings_init(&findings);
    validate_create(tree, &findings);
    for (size_t i = 0; i < findings.count; i++) {
        const struct finding *e = &findings.items[i];
        if (e->severity == FINDING_WARNING)
            (void)fprintf(stderr, "Warning: %s: %s\n", e->field, e->message);
    }
    if (!findings.errors)
        return true;
    (void)fprintf(stderr, "The Wukong \"%s\" is invalid:\n", json_str(tree, "metadata.name"));
    for (size_t i = 0; i < findings.count; i++) {
        const struct finding *e = &findings.items[i];
        if (e->severity == FINDING_ERROR)
            (void)fprintf(stderr, "* %s: %s\n", e->field, e->message);
    }
    return false;
}

/* --- The verb --- */

static int check_clone(struct options *o, const struct flag_values *arguments)
{
    if (arguments->count != 1)
        return flags_complain(&help, arguments->count ? "only one SOURCE, please"
                                                      : "the SOURCE is missing");
    o->source = arguments->items[0];
    const char *slash = strchr(o->source, '/');
    if (slash && !str_starts(o->source, "vm/") && !str_starts(o->source, "vmi/"))
        return flags_complain(&help, "SOURCE \"%s\": must be NAME, vm/NAME or vmi/NAME", o->source);
    const char *type = !slash ? NULL : str_starts(o->source, "vm/") ? "vm" : "vmi";
    if (type && o->type && !str_eq(type, o->type))
        return flags_complain(&help, "--type %s contradicts %s", o->type, o->source);
    o->type = str_or(type, str_or(o->type, "vmi"));
    o->source = slash ? slash + 1 : o->source;
    bool dry = o->dry_run && !str_eq(o->dry_run, "none");
    if (dry && (o->wait || o->watch))
        return flags_complain(&help, "a dry run has nothing to wait for");
    if (o->timeout_ms && !o->wait && !o->watch)
        return flags_complain(&help, "--timeout needs --wait or --watch");
    return CLI_OK;
}

static int print_client(const struct options *o)
{
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_BUF struct buf body = BUF_INIT(64 * KIB);
    struct err err = {0};
    write_wukong(o, o->connection.ns, &body);
    if (!buf_ok(&body) || json_parse(body.data, body.len, true, &tree, &err) < 0)
        return flags_complain(&help, "%s", buf_ok(&body) ? err.message : "too long");
    if (!judge_clone(tree))
        return CLI_FAILED;
    print_result(o, tree);
    return CLI_OK;
}

static int create(struct cluster *c, const struct options *o)
{
    CLEANUP_REPLY struct cluster_reply reply = {0};
    CLEANUP_BUF struct buf body = BUF_INIT(64 * KIB);
    write_wukong(o, cluster_ns(c), &body);
    if (!buf_ok(&body))
        return flags_complain(&help, "the arguments are too long");
    cluster_create(c, &cluster_wukongs, cluster_ns(c), body.data, str_eq(o->dry_run, "server"),
                   &reply);
    if (!cluster_ok(&reply)) {
        cluster_complain(&reply);
        return CLI_FAILED;
    }
    print_result(o, reply.tree);
    const char *name = json_str(reply.tree, "metadata.name");
    if (!name || !(o->watch || o->wait))
        return CLI_OK;
    (void)fflush(stdout);
    return follow_wukong(c, name, o->timeout_ms, o->watch ? FOLLOW_SHOWN : FOLLOW_QUIET);
}

static enum flags_verdict parse_clone(int argc, char **argv, struct options *o,
                                      struct flag_values *arguments)
{
    static const char *const types[] = {"vm", "vmi"};
    const struct flag flags[] = {
        {"name", 0, FLAG_TEXT, &o->name, "NAME", "of the Wukong (SOURCE-clone)", FLAG_ANY},
        {"source-namespace", 0, FLAG_TEXT, &o->source_ns, "NAMESPACE",
         "of the source (the Wukong's)", FLAG_ANY},
        {"type", 0, FLAG_CHOICE, &o->type, "vm|vmi", "what the source is (vmi)", types,
         ARRAY_LEN(types)},
        {"clone-type", 0, FLAG_CHOICE, &o->clone_type, "running|linked|full",
         "how it is cloned (running for a vmi, full for a vm)", clone_type_names + 1,
         CLONE_TYPES - 1},
        {"disk", 0, FLAG_LIST, &o->disks, "NAME[=SIZE][,CLASS]",
         "only this disk, perhaps larger or of another StorageClass; may be repeated", FLAG_ANY},
        {"cpu", 0, FLAG_COUNT, &o->cpu, "N", "cores (the source's)", FLAG_ANY},
        {"memory", 0, FLAG_TEXT, &o->memory, "QUANTITY", "guest memory (the source's)", FLAG_ANY},
        {"replicas", 0, FLAG_COUNT, &o->replicas, "N", "as many machines from one snapshot",
         FLAG_ANY},
        {"quiesce", 0, FLAG_CHOICE, &o->quiesce, "HOW", "Required, IfAvailable or Never",
         quiesce_names + 1, QUIESCES - 1},
        {"snapshot-method", 0, FLAG_CHOICE, &o->method, "METHOD",
         "Auto, VirtualMachineSnapshot, VolumeSnapshot or VolumeGroupSnapshot (Auto)",
         snapshot_method_names + 1, METHODS - 1},
        {"snapshot-class", 0, FLAG_TEXT, &o->class, "CLASS",
         "VolumeSnapshotClass (chosen per disk)", FLAG_ANY},
        {"group-snapshot-class", 0, FLAG_TEXT, &o->group_class, "CLASS",
         "VolumeGroupSnapshotClass (chosen per driver)", FLAG_ANY},
        {"allow-secret", 0, FLAG_LIST, &o->secrets, "NAME",
         "a Secret or ServiceAccount that a source of another namespace may have; may be repeated",
         FLAG_ANY},
        {"no-start", 0, FLAG_SWITCH, &o->no_start, NULL, "leave the new machine stopped", FLAG_ANY},
        {"dry-run", 0, FLAG_CHOICE, &o->dry_run, "none|client|server",
         "client: only check and print it; server: let the API server judge it", dry_runs,
         ARRAY_LEN(dry_runs)},
        {"output", 'o', FLAG_CHOICE, &o->output, "yaml|json|name", "print the Wukong so", outputs,
         ARRAY_LEN(outputs)},
        {"wait", 0, FLAG_SWITCH, &o->wait, NULL, "wait for the end of the clone", FLAG_ANY},
        {"watch", 'w', FLAG_SWITCH, &o->watch, NULL, "wait, and show how far it is", FLAG_ANY},
        {"timeout", 0, FLAG_DURATION, &o->timeout_ms, "DURATION",
         "wait at most that long (0: for ever)", FLAG_ANY},
    };
    return flags_parse(argc, argv,
                       &(struct verb_flags){&help, flags, ARRAY_LEN(flags), &o->connection},
                       arguments);
}

int cli_clone(int argc, char **argv)
{
    CLEANUP_CLUSTER struct cluster *c = NULL;
    struct options o = {0};
    struct flag_values arguments = {0};
    struct err err = {0};
    int code = flags_code(parse_clone(argc, argv, &o, &arguments));
    if (code >= 0)
        return code;
    code = check_clone(&o, &arguments);
    if (code != CLI_OK)
        return code;
    if (str_eq(o.dry_run, "client"))
        return print_client(&o);
    if (cluster_open(&o.connection, &c, &err) < 0) {
        (void)fprintf(stderr, "error: %s\n", err.message);
        return CLI_FAILED;
    }
    return create(c, &o);
}
