#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/lint.h"
#include "cli/terminal_text.h"
#include "json/json.h"
#include "wukong/api/spec.h"
#include "wukong/policy/policy.h"
#include "wukong/rules/validate.h"
#include "yaml/yaml.h"

#define POLICIES_MAX 256
#define IGNORED_MAX 64
#define POLICY_BYTES (8u * MIB)

struct options {
    enum lint_format format;
    bool warnings_as_errors;
    struct arena arena; /* of the policies */
    struct policy policies[POLICIES_MAX];
    size_t policy_count;
    const char *ignored[IGNORED_MAX];
    size_t ignored_count;
};

/* One object of a document: the document itself, or an item of a List. */
struct object {
    const char *file;
    size_t file_index;
    const struct yaml_document *document;
    const cJSON *tree;
    char *title;
};

/* --- Findings --- */

static void add_lint_finding(struct lint *l, const struct object *o, bool error, const char *rule,
                             const char *field, const char *message)
{
    /* An unknown field is shown where its name stands, a bad value where the value stands. */
    bool key = str_eq(rule, "unknown-field");
    struct yaml_mark at = yaml_position_in(o->document, o->tree, field, key);
    lint_add(l, &(struct lint_finding){.file_index = o->file_index,
                                       .file = (char *)o->file,
                                       .object = o->title,
                                       .line = at.line,
                                       .column = at.column,
                                       .error = error,
                                       .rule = rule,
                                       .field = (char *)field,
                                       .message = (char *)message});
}

static void add_findings(struct lint *l, const struct object *o, const struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *e = &findings->items[i];
        add_lint_finding(l, o, e->severity == FINDING_ERROR, e->rule->id, e->field, e->message);
    }
}

/* --- Objects --- */

static void judge_policies(struct lint *l, const struct object *o, const struct options *opt)
{
    CLEANUP_ARENA struct arena a;
    struct wukong w;
    struct err err;
    CLEANUP_FREE struct policy_findings *found = xcalloc(1, sizeof(*found));
    arena_init(&a, POLICY_BYTES);
    if (!opt->policy_count || wukong_decode(&a, o->tree, &w, &err) < 0)
        return;
    struct wukong_effective e = wukong_resolve_defaults(&w.spec, str_or(w.ns, "default"));
    struct policy_request r = {.wukong = &w,
                               .effective = &e,
                               .cut = cut_foresee_source(&e, NULL, NULL),
                               .now_ms = clock_wall(&clock_system)};
    policy_judge(&a, opt->policies, opt->policy_count, &r, NULL, POLICY_AT_ADMISSION, found);
    for (size_t i = 0; i < found->count; i++)
        if (found->items[i].effect != POLICY_AUDIT)
            add_lint_finding(l, o, found->items[i].effect == POLICY_DENY, "policy",
                             "spec.cloneSource", found->items[i].text);
}

static void judge_wukong(struct lint *l, const struct object *o, const struct options *opt)
{
    CLEANUP_FINDINGS struct findings findings;
    findings_init(&findings);
    validate_create(o->tree, &findings);
    validate_unknown_fields(o->tree, &findings);
    add_findings(l, o, &findings);
    judge_policies(l, o, opt);
}

static void judge_policy(struct lint *l, const struct object *o)
{
    CLEANUP_FINDINGS struct findings findings;
    findings_init(&findings);
    validate_policy(o->tree, &findings);
    validate_policy_unknown_fields(o->tree, &findings);
    add_findings(l, o, &findings);
}

static bool is_ours(const char *api_version)
{
    return api_version && str_starts(api_version, WUKONG_GROUP "/");
}

static void judge_object(struct lint *l, struct object o, const struct options *opt)
{
    static const char *const kinds[] = {WUKONG_KIND, POLICY_KIND};
    const char *kind = json_str(o.tree, "kind"), *api = json_str(o.tree, "apiVersion");
    const char *name = json_str(o.tree, "metadata.name");
    const char *ns = json_str(o.tree, "metadata.namespace");
    /* A slip in the group shall not make the file clean: the kind alone is ours too. */
    bool ours = is_ours(api) || (str_eq(kind, WUKONG_KIND) && !(api && strchr(api, '.')));
    if (!ours)
        return;
    CLEANUP_FREE char *title =
        xasprintf("%s %s%s%s", str_or(kind, "?"), str_or(ns, ""), ns ? "/" : "", str_or(name, "?"));
    o.title = title;
    const char *near = kind ? findings_suggest(kind, kinds, ARRAY_LEN(kinds)) : NULL;
    if (str_eq(kind, WUKONG_KIND)) {
        l->objects++;
        judge_wukong(l, &o, opt);
    } else if (str_eq(kind, POLICY_KIND)) {
        l->objects++;
        judge_policy(l, &o);
    } else if (near) {
        l->objects++;
        CLEANUP_FREE char *text = xasprintf("Unsupported value: \"%s\": supported values: "
                                            "\"Wukong\", \"ClonePolicy\" (did you mean \"%s\"?)",
                                            kind, near);
        add_lint_finding(l, &o, true, "kind", "kind", text);
    }
}

static void judge_document(struct lint *l, size_t file, const struct yaml_document *d,
                           const struct options *opt)
{
    struct object o = {.file = l->files[file].path, .file_index = file, .document = d};
    const cJSON *item, *items = json_get(d->tree, "items");
    const char *kind = json_str(d->tree, "kind");
    if (kind && str_ends(kind, "List") && cJSON_IsArray(items)) {
        cJSON_ArrayForEach (item, items) {
            o.tree = item;
            judge_object(l, o, opt);
        }
        return;
    }
    o.tree = d->tree;
    judge_object(l, o, opt);
}

/* --- Files --- */

static bool speaks_of(const struct buf *text, const char *word)
{
    return text->len && memmem(text->data, text->len, word, strlen(word));
}

/* Text that does not parse. In a directory only what speaks of us counts, and no template of Helm
   or its like: what they lead to is judged when it is rendered. */
static void add_broken(struct lint *l, size_t file, const struct buf *text, struct yaml_mark at,
                       const struct err *err)
{
    const struct lint_file *f = &l->files[file];
    bool template = speaks_of(text, "{{");
    if (!f->named && (template || !speaks_of(text, WUKONG_GROUP))) {
        l->skipped += template;
        return;
    }
    lint_add(l, &(struct lint_finding){.file_index = file,
                                       .file = f->path,
                                       .object = (char *)"",
                                       .line = at.line ? at.line : 1,
                                       .column = at.column ? at.column : 1,
                                       .error = true,
                                       .rule = "yaml",
                                       .field = (char *)"",
                                       .message = (char *)err->message});
}

static void add_unreadable(struct lint *l, size_t file, const char *why)
{
    l->unreadable++;
    lint_add(l, &(struct lint_finding){.file_index = file,
                                       .file = l->files[file].path,
                                       .object = (char *)"",
                                       .line = 1,
                                       .column = 1,
                                       .error = true,
                                       .rule = "unreadable",
                                       .field = (char *)"",
                                       .message = (char *)why});
}

/* The reason without the path, which the finding names already. */
static const char *without_path(const char *message, const char *path)
{
    size_t n = strlen(path);
    return strncmp(message, path, n) == 0 && str_starts(message + n, ": ") ? message + n + 2
                                                                           : message;
}

static void judge_file(struct lint *l, size_t file, const struct options *opt)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_YAML_BYTES);
    CLEANUP_YAML struct yaml_stream stream = {0};
    struct yaml_mark at = {0};
    struct err why;
    size_t first = l->count;
    const struct lint_file *f = &l->files[file];
    if (f->unusable) {
        add_unreadable(l, file, f->unusable);
        return;
    }
    if (lint_read(f->path, &text, &why) < 0) {
        add_unreadable(l, file, without_path(why.message, f->path));
        return;
    }
    if (yaml_parse(text.data, text.len, &stream, &at, &why) < 0) {
        add_broken(l, file, &text, at, &why);
        return;
    }
    for (size_t i = 0; i < stream.count; i++)
        judge_document(l, file, &stream.documents[i], opt);
    lint_sort(l, first);
}

static int load_policy(const char *path, const cJSON *tree, struct options *opt, struct err *err)
{
    if (!str_eq(json_str(tree, "kind"), POLICY_KIND))
        return 0;
    if (opt->policy_count == POLICIES_MAX)
        return err_set(err, ERR_LIMIT, "%s: more than %d policies", path, POLICIES_MAX);
    policy_decode(&opt->arena, tree, &opt->policies[opt->policy_count++]);
    return 0;
}

/* Lists are looked into: `kubectl get clonepol -o yaml` prints one. */
static int load_policies(const char *path, struct options *opt, struct err *err)
{
    size_t before = opt->policy_count;
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_YAML_BYTES);
    CLEANUP_YAML struct yaml_stream stream = {0};
    if (lint_read(path, &text, err) < 0)
        return -1;
    if (yaml_parse(text.data, text.len, &stream, NULL, err) < 0)
        return err_wrap(err, "%s", path);
    for (size_t i = 0; i < stream.count; i++) {
        const cJSON *tree = stream.documents[i].tree, *item;
        if (load_policy(path, tree, opt, err) < 0)
            return -1;
        cJSON_ArrayForEach (item, json_get(tree, "items"))
            if (load_policy(path, item, opt, err) < 0)
                return -1;
    }
    /* A mistaken path would let everything through. */
    if (opt->policy_count == before)
        return err_set(err, ERR_INVALID, "%s: holds no ClonePolicy; name a file that does", path);
    return 0;
}

/* --- Command line --- */

static void print_lint_usage(FILE *out)
{
    fputs(
        "Check Wukong and ClonePolicy manifests offline, by the webhook's own rules.\n"
        "\n"
        "Usage:\n"
        "  kubectl wukong lint [flags] FILE…|DIR…|-\n"
        "\n"
        "Files hold YAML (any number of documents) or JSON; \"-\" is standard input; of a\n"
        "directory all *.yaml, *.yml and *.json below it are read. Other kinds are ignored.\n"
        "\n"
        "Flags:\n"
        "  -o, --output text|json|junit|sarif   how findings are printed (text)\n"
        "      --warnings-as-errors             exit 1 for warnings too\n"
        "      --policy FILE                    check against the ClonePolicies of the file as "
        "well;\n"
        "                                       may be given several times\n"
        "      --ignore PATTERN                 leave out paths below a directory that match, "
        "such\n"
        "                                       as 'templates' or '*/charts/*.yaml'; may be given\n"
        "                                       several times\n"
        "  -h, --help                           this text\n"
        "\n"
        "Exit code: 0 clean, 1 findings, 2 wrong usage or unreadable files.\n",
        out);
}

/* Names of files stand in it, and whoever made those may have meant the terminal. */
static int fail_text(const char *message)
{
    CLEANUP_BUF struct buf out = BUF_INIT(64 * KIB);
    terminal_text_add(&out, message);
    fprintf(stderr, "kubectl wukong lint: %s\n", out.data);
    return CLI_USAGE;
}

static int fail_with(const struct err *err)
{
    return fail_text(err->message);
}

static bool read_format(const char *name, enum lint_format *ret)
{
    for (int i = 0; i < LINT_FORMATS; i++) {
        if (str_eq(name, lint_format_names[i])) {
            *ret = (enum lint_format)i;
            return true;
        }
    }
    fprintf(stderr, "kubectl wukong lint: unknown format \"%s\"; use text, json, junit or sarif\n",
            name);
    return false;
}

/* >= 0: exit with that code. */
static int read_flags(int argc, char **argv, struct options *opt)
{
    static const struct option flags[] = {
        {"output", required_argument, NULL, 'o'}, {"warnings-as-errors", no_argument, NULL, 'W'},
        {"policy", required_argument, NULL, 'p'}, {"ignore", required_argument, NULL, 'i'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    struct err err;
    int flag;
    while ((flag = getopt_long(argc, argv, "o:h", flags, NULL)) != -1) {
        switch (flag) {
        case 'o':
            if (!read_format(optarg, &opt->format))
                return CLI_USAGE;
            break;
        case 'W':
            opt->warnings_as_errors = true;
            break;
        case 'p':
            if (load_policies(optarg, opt, &err) < 0)
                return fail_with(&err);
            break;
        case 'i':
            if (opt->ignored_count == IGNORED_MAX)
                return fail_text("more than 64 patterns to ignore; use fewer that match more");
            opt->ignored[opt->ignored_count++] = optarg;
            break;
        case 'h':
            print_lint_usage(stdout);
            return CLI_OK;
        default:
            print_lint_usage(stderr);
            return CLI_USAGE;
        }
    }
    return -1;
}

static void lint_release_p(struct lint *l)
{
    lint_release(l);
}

static void options_release(struct options **opt)
{
    arena_release(&(*opt)->arena);
    free(*opt);
}

int cli_lint(int argc, char **argv)
{
    CLEANUP(lint_release_p) struct lint l = {0};
    CLEANUP(options_release) struct options *opt = xcalloc(1, sizeof(*opt));
    struct err err;
    arena_init(&opt->arena, POLICY_BYTES);
    int code = read_flags(argc, argv, opt);
    if (code >= 0)
        return code;
    if (optind == argc) {
        print_lint_usage(stderr);
        return CLI_USAGE;
    }
    l.ignored = opt->ignored;
    l.ignored_count = opt->ignored_count;
    for (int i = optind; i < argc; i++)
        if (lint_collect(&l, argv[i], &err) < 0)
            return fail_with(&err);
    for (size_t i = 0; i < l.file_count; i++)
        judge_file(&l, i, opt);
    lint_print(&l, opt->format, opt->warnings_as_errors);
    bool bad = l.errors || (l.warnings && opt->warnings_as_errors);
    return l.unreadable ? CLI_USAGE : bad ? CLI_FINDINGS : CLI_OK;
}
