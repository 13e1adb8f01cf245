/* kubectl wukong clone: writes a Wukong, or applies it. */
#include <getopt.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/cluster.h"
#include "json/json.h"
#include "json/writer.h"
#include "wukong/issues.h"
#include "wukong/spec.h"
#include "wukong/validate.h"

static const struct kube_kind wukongs = {WUKONG_GROUP, WUKONG_VERSION_NAME, WUKONG_RESOURCE,
                                         WUKONG_KIND, false, .fields = {0}};

struct clone_options {
    struct cluster_options cluster;
    const char *source, *name, *source_ns, *type, *quiesce, *class;
    uint64_t replicas;
    bool vm, print, help, stopped;
};

enum { OPT_NAME = 256, OPT_SOURCE_NS, OPT_TYPE, OPT_QUIESCE, OPT_CLASS, OPT_REPLICAS, OPT_PRINT,
       OPT_STOPPED, OPT_CONTEXT, OPT_KUBECONFIG };

static const struct option long_options[] = {
    {"name", required_argument, NULL, OPT_NAME},
    {"source-namespace", required_argument, NULL, OPT_SOURCE_NS},
    {"type", required_argument, NULL, OPT_TYPE},
    {"quiesce", required_argument, NULL, OPT_QUIESCE},
    {"snapshot-class", required_argument, NULL, OPT_CLASS},
    {"replicas", required_argument, NULL, OPT_REPLICAS},
    {"print", no_argument, NULL, OPT_PRINT},
    {"stopped", no_argument, NULL, OPT_STOPPED},
    {"context", required_argument, NULL, OPT_CONTEXT},
    {"kubeconfig", required_argument, NULL, OPT_KUBECONFIG},
    {"namespace", required_argument, NULL, 'n'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static void usage(FILE *out)
{
    (void)fputs("usage: kubectl wukong clone [vm/|vmi/]SOURCE [OPTION]…\n"
                "  --name NAME              of the Wukong (SOURCE-clone)\n"
                "  -n, --namespace NS       where the clone goes\n"
                "  --source-namespace NS    where the source is (the same)\n"
                "  --type TYPE              running, linked or full\n"
                "  --quiesce HOW            Required, IfAvailable or Never\n"
                "  --snapshot-class CLASS   VolumeSnapshotClass\n"
                "  --replicas N             as many VMs from one snapshot\n"
                "  --stopped                do not start the new VM\n"
                "  --print                  print the Wukong instead of creating it\n"
                "SOURCE alone is a running VirtualMachineInstance.\n",
                out);
}

static bool take(struct clone_options *o, int option)
{
    switch (option) {
    case OPT_NAME:
        o->name = optarg;
        return true;
    case OPT_SOURCE_NS:
        o->source_ns = optarg;
        return true;
    case OPT_TYPE:
        o->type = optarg;
        return true;
    case OPT_QUIESCE:
        o->quiesce = optarg;
        return true;
    case OPT_CLASS:
        o->class = optarg;
        return true;
    case OPT_REPLICAS:
        return str_to_u64(optarg, &o->replicas);
    case OPT_PRINT:
        return o->print = true;
    case OPT_STOPPED:
        return o->stopped = true;
    case OPT_CONTEXT:
        o->cluster.context = optarg;
        return true;
    case OPT_KUBECONFIG:
        o->cluster.kubeconfig = optarg;
        return true;
    case 'n':
        o->cluster.ns = optarg;
        return true;
    case 'h':
        return o->help = true;
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, struct clone_options *o)
{
    int option;
    while ((option = getopt_long(argc, argv, "n:h", long_options, NULL)) != -1)
        if (!take(o, option))
            return false;
    if (o->help)
        return true;
    if (optind + 1 != argc)
        return false;
    o->source = argv[optind];
    o->vm = str_starts(o->source, "vm/");
    if (o->vm || str_starts(o->source, "vmi/"))
        o->source = strchr(o->source, '/') + 1;
    return *o->source != '\0';
}

static void write_wukong(const struct clone_options *o, const char *ns, struct buf *out)
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
    json_object(&w, "spec");
    json_object(&w, "cloneSource");
    json_string(&w, "type", o->vm ? "vm" : "vmi");
    json_string(&w, o->vm ? "vmName" : "vmiName", o->source);
    json_string(&w, "namespace", o->source_ns);
    json_string(&w, "cloneType", o->type);
    json_string(&w, "quiesce", o->quiesce);
    json_string(&w, "volumeSnapshotClassName", o->class);
    json_end(&w);
    if (o->replicas)
        json_number(&w, "replicas", (int64_t)o->replicas);
    if (o->stopped) {
        json_object(&w, "startStrategy");
        json_boolean(&w, "autoStart", false);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
}

/* The webhook's own rules, before anything is sent. True when there is nothing to complain of. */
static bool judge(const cJSON *tree)
{
    CLEANUP_ISSUES struct issues issues;
    issues_init(&issues);
    validate_create(tree, &issues);
    for (size_t i = 0; i < issues.count; i++)
        (void)fprintf(stderr, "%s: %s\n", issues.items[i].field, issues.items[i].message);
    return issues.errors == 0;
}

int cli_clone(int argc, char **argv)
{
    struct clone_options o = {0};
    struct err err = {0};
    CLEANUP_CLUSTER struct cluster *c = NULL;
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_BUF struct buf body = BUF_INIT(64 * KIB);
    if (!parse(argc, argv, &o) || o.help) {
        usage(o.help ? stdout : stderr);
        return o.help ? CLI_OK : CLI_USAGE;
    }
    if (!o.print && cluster_open(&o.cluster, &c, &err) < 0) {
        (void)fprintf(stderr, "kubectl wukong: %s\n", err.message);
        return CLI_USAGE;
    }
    write_wukong(&o, c ? cluster_ns(c) : o.cluster.ns, &body);
    if (!buf_ok(&body) || json_parse(body.data, body.len, false, &tree, &err) < 0 || !judge(tree))
        return CLI_FAILED;
    if (o.print) {
        char *text = cJSON_Print(tree);
        (void)puts(text ? text : body.data);
        cJSON_free(text);
        return CLI_OK;
    }
    if (cluster_create(c, &wukongs, cluster_ns(c), body.data, false, &err) < 0) {
        (void)fprintf(stderr, "kubectl wukong: %s\n", err.message);
        return CLI_FAILED;
    }
    const char *name = json_str(tree, "metadata.name");
    (void)printf("wukong.%s/%s created\nfollow it: kubectl wukong status %s -n %s -w\n",
                 WUKONG_GROUP, name, name, cluster_ns(c));
    return CLI_OK;
}
