/* kubectl wukong plan: looks up what plan_cmd.c judges, with the user's own rights. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "apimachinery/dns_names.h"
#include "base/str.h"
#include "cli/api_error.h"
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/output.h"
#include "cli/lint.h"
#include "cli/plan.h"
#include "cli/plan_reads.h"
#include "json/json.h"
#include "json/writer.h"
#include "kube/path.h"
#include "wukong/api/child_names.h"
#include "wukong/api/resources.h"
#include "yaml/yaml.h"

#define PLAN_BYTES (64u * MIB)
/* Each answer may lead to further questions: source, claims, profiles. */
#define ROUNDS_MAX 8
#define GROUPS_MAX 256
/* Names of new objects that are looked up one by one. */
#define NAMES_MAX 64

struct options {
    struct flag_connection connection;
    const char *output, *file;
};

static const char *const outputs[] = {"text", "json", "yaml"};

static const struct verb_help help = {
    .verb = "plan",
    .arguments = "NAME|FILE|-",
    .summary =
        "What would happen: which disks, by which method and snapshot class, how consistent, what "
        "it\n"
        "costs, when it would begin, and what speaks against it. Judged by the webhook's and the\n"
        "worker's own code, with your own rights: what you may not read is named, and the rest is\n"
        "still printed. The machine is built as the worker builds it, and shown beside its "
        "source;\n"
        "-o yaml prints it whole, below virtualMachine. Nothing is created.\n\n"
        "NAME is a Wukong of the cluster; FILE (it has a \"/\" or ends in .yaml, .yml or .json) "
        "and\n"
        "standard input hold Wukongs that need not be there yet.",
    .examples = "  kubectl wukong plan copy\n"
                "  kubectl wukong plan clones/copy.yaml\n"
                "  kubectl wukong clone shop --dry-run=client -o yaml | kubectl wukong plan -\n"
                "  kubectl wukong plan copy.yaml -o json | jq .cost\n"
                "  kubectl wukong plan copy.yaml -o json | jq .virtualMachine\n",
    .exits =
        "  0  it would run, now or at the time that is named\n"
        "  1  it would be refused, or would wait until somebody mends something; or the Wukong\n"
        "     does not exist\n"
        "  2  wrong usage, or a file that cannot be read\n"
        "  3  not known: nothing speaks against it, but not everything could be read\n",
};

/* One Wukong to plan, and what was looked up for it. */
struct planning {
    struct cluster *c;
    const struct options *o;
    struct arena arena;
    struct lookups lookups;
    struct wukong w;
    struct wukong_effective e;
    struct source_info g;
    struct class_facts classes;
    struct plan_input in;
    struct plan f;
    struct cluster_reply quotas, self;
    const char *groups[GROUPS_MAX];
};

/* --- What may not be read --- */

/* "list storageclasses.storage.k8s.io" */
static void describe_right(const struct look_right *r, const char *path, struct buf *out)
{
    if (!r->kind) {
        buf_addf(out, "%s %s", r->verb, path);
        return;
    }
    buf_addf(out, "%s %s%s%s%s%s", r->verb, r->kind->resource, r->sub ? "/" : "",
             str_or(r->sub, ""), *r->kind->group ? "." : "", r->kind->group);
    if (r->name)
        buf_addf(out, " \"%s\"", r->name);
    if (r->ns)
        buf_addf(out, " in namespace %s", r->ns);
}

/* code: 403, another refusal, or 0 when no answer came. consequence: what is not known therefore.
 */
static void note_unread(struct planning *p, const struct look_right *r, const char *path, int code,
                        const char *consequence)
{
    CLEANUP_BUF struct buf right = BUF_INIT(LIMIT_PATH_BYTES);
    describe_right(r, path, &right);
    if (code == 403 || code == 401)
        plan_note_add(&p->f, NOTE_UNKNOWN, "right", "%s: you may not %s", consequence, right.data);
    else if (code)
        plan_note_add(&p->f, NOTE_UNKNOWN, "", "%s: to %s, the server answered %d", consequence,
                      right.data, code);
    else
        plan_note_add(&p->f, NOTE_UNKNOWN, "", "%s: to %s, no answer came", consequence,
                      right.data);
}

static const char *consequence_of(enum lookup_kind kind)
{
    static const char *const texts[LOOKUP_KINDS] = {
        [LOOKUP_MAY_CLONE] = "whether you may clone this source",
        [LOOKUP_MAY_START] = "whether you may start this source",
        [LOOKUP_VM] = "the source and its disks",
        [LOOKUP_VMI] = "the source and its disks",
        [LOOKUP_EXPANDED] = "whether its preference gives the source a persistent TPM or EFI",
        [LOOKUP_CLAIM] = "size and class of this disk",
        [LOOKUP_SOURCE_NAMESPACE] = "whether policies match by its labels",
        [LOOKUP_TARGET_NAMESPACE] = "whether policies match by its labels",
        [LOOKUP_CDI] = "whether CDI is installed",
        [LOOKUP_PROFILE] = "the snapshot class that CDI names",
        [LOOKUP_STORAGE_CLASSES] = "method and snapshot class of the disks",
        [LOOKUP_SNAPSHOT_CLASSES] = "method and snapshot class of the disks",
        [LOOKUP_GROUP_CLASSES] = "VolumeGroupSnapshotClass of the disks",
        [LOOKUP_DRIVERS] = "whether the driver is a CSI driver",
        [LOOKUP_POLICIES] = "what ClonePolicies say",
    };
    return str_or(texts[kind], "something");
}

static void note_lookups(struct planning *p)
{
    for (size_t i = 0; i < p->lookups.count; i++) {
        const struct lookup *k = p->lookups.items[i];
        bool fine = (k->code >= 200 && k->code < 300) || k->code == 404;
        const struct look_right right = look_right(k);
        if (!fine)
            note_unread(p, &right, k->path, k->code, consequence_of(k->kind));
    }
}

/* --- Looking up --- */

static bool can_be_asked(const struct planning *p)
{
    return p->e.source_type != SOURCE_UNSET && name_is_dns_subdomain(p->e.source_name) &&
           name_is_dns_label(p->e.source_ns) && name_is_dns_label(p->w.ns);
}

static void look_up(struct planning *p)
{
    struct source_known known = {.classes = &p->classes};
    if (!can_be_asked(p))
        return;
    if (p->e.cross_namespace && !p->in.stored)
        (void)lookups_own_access(&p->lookups, LOOKUP_MAY_CLONE, p->e.source_ns, p->e.source_name);
    for (int round = 0; round < ROUNDS_MAX; round++) {
        look_up_source(&known, &p->w, &p->e, p->w.ns, true, &p->lookups, &p->arena, &p->g);
        if (!lookups_pending(&p->lookups))
            break;
        cluster_look_up(p->c, &p->lookups);
        bool storage = false, snapshot = false, groups = true;
        (void)lookup_exists(lookups_get(&p->lookups, LOOKUP_STORAGE_CLASSES, NULL, NULL), &storage);
        (void)lookup_exists(lookups_get(&p->lookups, LOOKUP_SNAPSHOT_CLASSES, NULL, NULL),
                            &snapshot);
        if (p->e.method == METHOD_GROUP_SNAPSHOT)
            (void)lookup_exists(lookups_get(&p->lookups, LOOKUP_GROUP_CLASSES, NULL, NULL),
                                &groups);
        p->classes.looked_up = storage && snapshot && groups;
    }
    bool may = false, answered = false;
    if (p->e.cross_namespace && !p->in.stored)
        may = lookup_allowed(lookups_get(&p->lookups, LOOKUP_MAY_CLONE, NULL, p->e.source_name),
                             &answered);
    if (answered && !may)
        plan_note_add(&p->f, NOTE_REFUSED, "spec.cloneSource.namespace",
                      "you may not clone \"%s\" of namespace %s: that needs verb create on "
                      "wukongs/source (group " WUKONG_GROUP
                      ") there; ask an admin of that namespace",
                      p->e.source_name, p->e.source_ns);
    note_lookups(p);
}

/* Who asks: of a Wukong in the cluster it is not known who did. */
static void look_up_self(struct planning *p)
{
    static const char body[] = "{\"apiVersion\":\"authentication.k8s.io/v1\","
                               "\"kind\":\"SelfSubjectReview\"}";
    if (p->in.stored)
        return;
    cluster_call(p->c, "/apis/authentication.k8s.io/v1/selfsubjectreviews", body, true, &p->self);
    const cJSON *info = json_at(p->self.tree, "status.userInfo"), *group;
    p->in.user = json_str(info, "username");
    p->in.groups = p->groups;
    cJSON_ArrayForEach (group, json_get(info, "groups"))
        if (cJSON_IsString(group) && p->in.group_count < GROUPS_MAX)
            p->groups[p->in.group_count++] = group->valuestring;
}

/* Without the server's warnings. False: no such path can be written. */
static bool read_quietly(struct planning *p, const struct look_right *r, struct cluster_reply *ret)
{
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    kube_path_kind(&path, r->kind, r->ns, r->name, r->sub);
    if (!buf_ok(&path))
        return false;
    cluster_call(p->c, path.data, NULL, true, ret);
    return true;
}

static void look_up_quotas(struct planning *p)
{
    static const struct kube_kind quotas = {RESOURCE_QUOTA, .fields = {0}};
    const struct look_right right = {"list", &quotas, NULL, p->w.ns, NULL};
    if (!name_is_dns_label(p->w.ns) || !read_quietly(p, &right, &p->quotas))
        return;
    if (!cluster_ok(&p->quotas))
        note_unread(p, &right, NULL, p->quotas.status.code, "whether the quota suffices");
    p->in.quotas = p->quotas.tree;
}

/* --- Names of what is to be made --- */

/* False when it could not be read, so that nothing more need be asked. */
static bool check_name(struct planning *p, const struct kube_kind *kind, const char *name)
{
    CLEANUP_REPLY struct cluster_reply reply = {0};
    const struct look_right right = {"get", kind, NULL, p->w.ns, name};
    if (!read_quietly(p, &right, &reply))
        return false;
    if (reply.status.err.kind == ERR_NOT_FOUND)
        return true;
    if (!cluster_ok(&reply)) {
        note_unread(p, &right, NULL, reply.status.code, "whether the name is free");
        return false;
    }
    const char *owner = json_str(reply.tree, "metadata.labels[" WUKONG_UID_LABEL "]");
    CLEANUP_FREE char *subject = xasprintf("%s %s", kind->kind, name);
    if (!owner || !str_eq(owner, p->w.uid))
        plan_note_add(&p->f, NOTE_WAITS, subject,
                      "exists and is not this clone's; remove or rename it, or give the Wukong "
                      "another name");
    return true;
}

static void check_names(struct planning *p)
{
    static const struct kube_kind machine = {RESOURCE_VM, .fields = {0}};
    static const struct kube_kind volume = {RESOURCE_PVC, .fields = {0}};
    char vm[NAME_BUF], claim[PVC_NAME_BUF];
    int asked = 0;
    bool vms = true, claims = true;
    if (str_empty(p->w.name) || !name_is_dns_label(p->w.ns))
        return; /* generateName finds a free one */
    for (int64_t i = 0; i < p->e.replicas; i++) {
        name_vm(p->w.name, p->e.replicas, i, vm);
        if (vms && asked++ < NAMES_MAX)
            vms = check_name(p, &machine, vm);
        for (size_t k = 0; claims && k < p->f.disks.count && asked++ < NAMES_MAX; k++) {
            name_pvc(p->w.name, p->e.replicas, i, p->f.disks.items[k].name, claim);
            claims = check_name(p, &volume, claim);
        }
    }
    if (asked > NAMES_MAX)
        plan_note_add(&p->f, NOTE_WARNING, "names", "only the first %d names were checked",
                      NAMES_MAX);
}

/* --- What the API server says --- */

/* Field errors are noted as our own rules word them, so that each is told once. */
static bool note_causes(struct planning *p, const char *body)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    const cJSON *cause;
    if (!body || json_read(body, strlen(body), &tree, &err) < 0 ||
        !str_eq(json_str(tree, "reason"), "Invalid") || !json_at(tree, "details.causes.#0"))
        return false;
    cJSON_ArrayForEach (cause, json_at(tree, "details.causes"))
        plan_note_add(&p->f, NOTE_REFUSED, str_or(json_str(cause, "field"), ""), "%s",
                      str_or(json_str(cause, "message"), "?"));
    return true;
}

static void ask_admission(struct planning *p)
{
    CLEANUP_REPLY struct cluster_reply reply = {0};
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_REPLY_BYTES);
    CLEANUP_FREE char *body = json_print(p->in.tree);
    if (!name_is_dns_label(p->w.ns))
        return;
    cluster_create(p->c, &cluster_wukongs, p->w.ns, body, true, &reply);
    enum err_kind kind = reply.status.err.kind;
    int code = reply.status.code;
    if (cluster_ok(&reply)) {
        p->in.admission_known = true;
        return;
    }
    if (kind == ERR_REFUSED && note_causes(p, reply.refused)) {
        p->in.admission_known = true;
        return;
    }
    api_error_text(&reply.status, reply.refused, &text);
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = '\0';
    /* RBAC's own refusal says nothing of the Wukong. */
    bool right = code == 403 && strstr(text.data, "cannot create resource \"" WUKONG_RESOURCE "\"");
    if (kind == ERR_EXISTS) {
        p->in.admission_known = true;
        plan_note_add(&p->f, NOTE_REFUSED, "metadata.name",
                      "a Wukong of this name is there already; plan it by its name");
    } else if (right) {
        plan_note_add(&p->f, NOTE_REFUSED, "right",
                      "you may not create wukongs." WUKONG_GROUP " in namespace %s", p->w.ns);
    } else if (kind == ERR_REFUSED || kind == ERR_NOT_FOUND || kind == ERR_INVALID) {
        p->in.admission_known = true;
        plan_note_add(&p->f, NOTE_REFUSED, "API server", "%s", text.data);
    } else {
        plan_note_add(&p->f, NOTE_UNKNOWN, "API server", "%s", text.data);
    }
}

/* --- One Wukong --- */

static unsigned columns_of_output(void)
{
    struct winsize size = {0};
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col)
        return 100;
    return size.ws_col;
}

/* Of several plans in one stream each is a document. */
static void print_yaml(const struct buf *json)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    if (json_read(json->data, json->len, &tree, &err) < 0)
        return;
    (void)fputs("---\n", stdout);
    output_print(tree, "yaml");
}

static void print(const struct planning *p)
{
    CLEANUP_BUF struct buf out = BUF_INIT(LIMIT_REPLY_BYTES);
    bool yaml = str_eq(p->o->output, "yaml");
    if (yaml || str_eq(p->o->output, "json"))
        plan_json(&p->f, &out);
    else
        plan_text(&p->f, columns_of_output(), &out);
    if (yaml)
        print_yaml(&out);
    else
        (void)fputs(out.data, stdout);
}

/* What has nothing to be planned: no clone, or one that has begun. NULL: plan it. */
static const char *nothing_to_plan(const struct planning *p, const char **ret_text)
{
    const char *phase = json_str(p->in.tree, "status.cloneStatus.phase");
    *ret_text = "it has no cloneSource, so it is no clone and nothing would happen";
    if (!p->e.is_clone)
        return "noClone";
    if (!p->in.stored)
        return NULL;
    *ret_text = "it is running; see kubectl wukong status";
    if (str_eq(phase, "Cloning"))
        return "underWay";
    *ret_text = "it has ended, and nothing would happen; see kubectl wukong why";
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed") ? "ended" : NULL;
}

static void print_nothing(const struct planning *p, const char *verdict, const char *text)
{
    CLEANUP_BUF struct buf out = BUF_INIT(LIMIT_REPLY_BYTES);
    struct json_writer w = json_writer(&out);
    bool yaml = str_eq(p->o->output, "yaml");
    if (!yaml && !str_eq(p->o->output, "json")) {
        (void)printf("%s/%s: %s\n", p->w.ns, plan_name(&p->w), text);
        return;
    }
    json_object(&w, NULL);
    json_string(&w, "name", plan_name(&p->w));
    json_string(&w, "namespace", p->w.ns);
    json_boolean(&w, "stored", p->in.stored);
    json_string(&w, "verdict", verdict);
    json_end(&w);
    if (yaml)
        print_yaml(&out);
    else
        (void)puts(out.data);
}

static int exit_code(const struct planning *p)
{
    static const int codes[PLAN_VERDICTS] = {[PLAN_RUNS] = CLI_OK,
                                             [PLAN_REFUSED] = CLI_FINDINGS,
                                             [PLAN_WAITS] = CLI_FINDINGS,
                                             [PLAN_UNKNOWN] = CLI_UNDER_WAY};
    return codes[p->f.verdict];
}

static int plan_decoded(struct planning *p)
{
    const char *text, *verdict = nothing_to_plan(p, &text);
    if (verdict) {
        print_nothing(p, verdict, text);
        return CLI_OK;
    }
    p->in.admission_known = p->in.stored;
    look_up(p);
    look_up_self(p);
    look_up_quotas(p);
    if (!p->in.stored)
        ask_admission(p);
    plan_build(&p->in, &p->arena, &p->f);
    check_names(p);
    plan_read_machine(p->c, &p->f);
    plan_read_needs(p->c, &p->f);
    plan_conclude(&p->f);
    print(p);
    return exit_code(p);
}

static int plan_tree(struct cluster *c, const struct options *o, const cJSON *tree, bool stored)
{
    struct planning *p = xcalloc(1, sizeof *p);
    struct err err = {0};
    int code = CLI_USAGE;
    arena_init(&p->arena, PLAN_BYTES);
    p->c = c;
    p->o = o;
    p->f.arena = &p->arena;
    p->f.in = &p->in;
    if (wukong_decode(&p->arena, tree, &p->w, &err) == 0) {
        p->w.ns = str_or(p->w.ns, cluster_ns(c));
        p->e = wukong_resolve_defaults(&p->w.spec, p->w.ns);
        p->in = (struct plan_input){.tree = tree,
                                    .stored = stored,
                                    .w = &p->w,
                                    .e = &p->e,
                                    .g = &p->g,
                                    .now_ms = clock_wall(cluster_client(c)->clock)};
        code = plan_decoded(p);
    } else {
        (void)fprintf(stderr, "error: %s\n", err.message);
    }
    lookups_release(&p->lookups);
    cluster_reply_release(&p->quotas);
    cluster_reply_release(&p->self);
    arena_release(&p->arena);
    free(p);
    return code;
}

/* --- Where it comes from --- */

static bool is_file(const char *argument)
{
    return str_eq(argument, "-") || str_ends(argument, ".yaml") || str_ends(argument, ".yml") ||
           str_ends(argument, ".json") || strchr(argument, '/');
}

/* The worst of several: a refusal before what is not known. */
static int worse(int a, int b)
{
    static const int order[] = {CLI_OK, CLI_UNDER_WAY, CLI_FINDINGS, CLI_USAGE};
    for (size_t i = ARRAY_LEN(order); i > 0; i--)
        if (order[i - 1] == a || order[i - 1] == b)
            return order[i - 1];
    return a;
}

static int plan_object(struct cluster *c, const struct options *o, const cJSON *tree, size_t *count)
{
    const cJSON *item;
    int code = CLI_OK;
    if (str_ends(str_or(json_str(tree, "kind"), ""), "List")) {
        cJSON_ArrayForEach (item, json_get(tree, "items"))
            code = worse(code, plan_object(c, o, item, count));
        return code;
    }
    if (!str_eq(json_str(tree, "kind"), WUKONG_KIND))
        return CLI_OK;
    if ((*count)++ && !str_eq(o->output, "json"))
        (void)puts("");
    return plan_tree(c, o, tree, false);
}

static int plan_file(struct cluster *c, const struct options *o, const char *path)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_YAML_BYTES);
    CLEANUP_YAML struct yaml_stream stream = {0};
    struct err err = {0};
    size_t count = 0;
    int code = CLI_OK;
    if (lint_read(path, &text, &err) < 0 ||
        yaml_parse(text.data, text.len, &stream, NULL, &err) < 0) {
        (void)fprintf(stderr, "error: %s: %s\n", path, err.message);
        return CLI_USAGE;
    }
    for (size_t i = 0; i < stream.count; i++)
        code = worse(code, plan_object(c, o, stream.documents[i].tree, &count));
    if (count)
        return code;
    (void)fprintf(stderr, "error: %s holds no Wukong\n", path);
    return CLI_USAGE;
}

static int plan_stored(struct cluster *c, const struct options *o, const char *name)
{
    CLEANUP_REPLY struct cluster_reply reply = {0};
    cluster_get(c, &cluster_wukongs, cluster_ns(c), name, &reply);
    if (cluster_ok(&reply))
        return plan_tree(c, o, reply.tree, true);
    cluster_complain(&reply);
    return CLI_FAILED;
}

int cli_plan(int argc, char **argv)
{
    CLEANUP_CLUSTER struct cluster *c = NULL;
    struct options o = {0};
    struct flag_values arguments = {0};
    struct err err = {0};
    const struct flag flags[] = {
        {"filename", 'f', FLAG_TEXT, &o.file, "FILE", "the same as FILE alone, whatever its name",
         FLAG_ANY},
        {"output", 'o', FLAG_CHOICE, &o.output, "text|json|yaml", "how it is printed (text)",
         outputs, ARRAY_LEN(outputs)},
    };
    int code = flags_code(
        flags_parse(argc, argv, &(struct verb_flags){&help, flags, ARRAY_LEN(flags), &o.connection},
                    &arguments));
    if (code >= 0)
        return code;
    if (arguments.count + (o.file != NULL) != 1)
        return flags_complain(&help, "one NAME, FILE or - is needed");
    if (cluster_open(&o.connection, &c, &err) < 0) {
        (void)fprintf(stderr, "error: %s\n", err.message);
        return CLI_FAILED;
    }
    const char *what = o.file ? o.file : arguments.items[0];
    bool named = str_starts(what, "wk/") || str_starts(what, "wukong");
    if (o.file || (is_file(what) && !(named && !str_eq(cluster_bare_name(what), what))))
        return plan_file(c, &o, what);
    return plan_stored(c, &o, cluster_bare_name(what));
}
