#include "cli/flags.h"

#include <stdarg.h>

#include "apimachinery/duration.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "wukong/rules/findings.h"

#define FLAGS_MAX 48
#define HELP_COLUMN 34

struct parser {
    const struct verb_flags *v;
    struct flag flags[FLAGS_MAX];
    size_t count;
    int argc, at;
    char **argv;
    bool help;
    struct flag_values *arguments;
};

int flags_complain(const struct verb_help *help, const char *format, ...)
{
    va_list args;
    (void)fprintf(stderr, "kubectl wukong %s: ", help->verb);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "\nSee 'kubectl wukong %s -h' for help.\n", help->verb);
    return CLI_USAGE;
}

int flags_code(enum flags_verdict verdict)
{
    return verdict == FLAGS_OK ? -1 : verdict == FLAGS_HELP ? CLI_OK : CLI_USAGE;
}

static void collect_connection(struct parser *p, struct flag_connection *c)
{
    const struct flag connection[] = {
        {"namespace", 'n', FLAG_TEXT, &c->ns, "NAMESPACE", "of the Wukong; the context's",
         FLAG_ANY},
        {"kubeconfig", 0, FLAG_TEXT, &c->kubeconfig, "FILE", "in place of $KUBECONFIG", FLAG_ANY},
        {"context", 0, FLAG_TEXT, &c->context, "NAME",
         "of the kubeconfig, in place of its current one", FLAG_ANY},
        {"cluster", 0, FLAG_TEXT, &c->cluster, "NAME", "of the kubeconfig, not the context's",
         FLAG_ANY},
        {"user", 0, FLAG_TEXT, &c->user, "NAME", "of the kubeconfig, not the context's", FLAG_ANY},
        {"server", 's', FLAG_TEXT, &c->server, "URL", "of the API server", FLAG_ANY},
        {"token", 0, FLAG_TEXT, &c->token, "TOKEN", "in place of the user's credentials", FLAG_ANY},
        {"certificate-authority", 0, FLAG_TEXT, &c->ca_file, "FILE", "that the API server's is of",
         FLAG_ANY},
        {"client-certificate", 0, FLAG_TEXT, &c->cert_file, "FILE", "to log in with", FLAG_ANY},
        {"client-key", 0, FLAG_TEXT, &c->key_file, "FILE", "of that certificate", FLAG_ANY},
        {"tls-server-name", 0, FLAG_TEXT, &c->tls_server_name, "NAME",
         "that the API server's certificate must have", FLAG_ANY},
        {"insecure-skip-tls-verify", 0, FLAG_SWITCH, &c->insecure, NULL,
         "take any certificate of the API server", FLAG_ANY},
        {"as", 0, FLAG_TEXT, &c->as, "USER", "act as this user", FLAG_ANY},
        {"as-group", 0, FLAG_LIST, &c->as_groups, "GROUP", "act as a member of it; may be repeated",
         FLAG_ANY},
        {"as-uid", 0, FLAG_TEXT, &c->as_uid, "UID", "act as a user with it", FLAG_ANY},
        {"request-timeout", 0, FLAG_DURATION, &c->request_timeout_ms, "DURATION",
         "of a single request, such as 10s (0: none)", FLAG_ANY},
        {"v", 'v', FLAG_LEVEL, &c->verbosity, "LEVEL", "from 6 on it shows each request on stderr",
         FLAG_ANY},
        {"help", 'h', FLAG_SWITCH, &p->help, NULL, "this text", FLAG_ANY},
    };
    for (size_t i = 0; i < p->v->count; i++)
        p->flags[p->count++] = p->v->own[i];
    for (size_t i = 0; i < ARRAY_LEN(connection); i++)
        p->flags[p->count++] = connection[i];
}

/* --- Help --- */

static void print_flag(const struct flag *f)
{
    CLEANUP_BUF struct buf left = BUF_INIT(KIB);
    if (f->letter)
        buf_addf(&left, "  -%c, --%s", f->letter, f->name);
    else
        buf_addf(&left, "      --%s", f->name);
    if (f->placeholder)
        buf_addf(&left, " %s", f->placeholder);
    if (left.len >= HELP_COLUMN)
        (void)printf("%s\n%*s%s\n", left.data, HELP_COLUMN, "", f->help);
    else
        (void)printf("%-*s%s\n", HELP_COLUMN, left.data, f->help);
}

static void print_help(const struct parser *p)
{
    const struct verb_help *h = p->v->help;
    (void)printf("%s\n\nUsage:\n  kubectl wukong %s %s [flags]\n\nExamples:\n%s\nFlags:\n",
                 h->summary, h->verb, h->arguments, h->examples);
    for (size_t i = 0; i < p->count; i++)
        print_flag(&p->flags[i]);
    (void)printf("\nExit codes:\n%s", h->exits);
}

/* --- Values --- */

static bool bad_value(const struct parser *p, const struct flag *f, const char *value,
                      const char *wanted)
{
    (void)flags_complain(p->v->help, "--%s \"%s\": %s", f->name, value, wanted);
    return false;
}

static bool take_choice(const struct parser *p, const struct flag *f, const char *value)
{
    CLEANUP_BUF struct buf text = BUF_INIT(4 * KIB);
    for (size_t n = 0; n < f->choice_count; n++) {
        if (str_eq(f->choices[n], value)) {
            *(const char **)f->into = f->choices[n];
            return true;
        }
        buf_addf(&text, "%s%s", n ? ", " : "must be one of ", f->choices[n]);
    }
    const char *near = findings_suggest(value, f->choices, f->choice_count);
    if (near)
        buf_addf(&text, " (did you mean %s?)", near);
    return bad_value(p, f, value, text.data);
}

static bool take_switch(const struct parser *p, const struct flag *f, const char *value)
{
    bool *into = f->into;
    if (!str_eq(value, "true") && !str_eq(value, "false"))
        return bad_value(p, f, value, "must be true or false");
    *into = str_eq(value, "true");
    return true;
}

static bool take_value(const struct parser *p, const struct flag *f, const char *value)
{
    uint64_t count;
    int64_t ns;
    struct flag_values *list;
    switch (f->kind) {
    case FLAG_SWITCH:
        return take_switch(p, f, value);
    case FLAG_TEXT:
        *(const char **)f->into = value;
        return true;
    case FLAG_CHOICE:
        return take_choice(p, f, value);
    case FLAG_COUNT:
        if (!str_to_u64(value, &count) || !count || count > INT64_MAX)
            return bad_value(p, f, value, "must be a whole number from 1");
        *(int64_t *)f->into = (int64_t)count;
        return true;
    case FLAG_LEVEL:
        if (!str_to_u64(value, &count) || count > INT64_MAX)
            return bad_value(p, f, value, "must be a whole number");
        *(int64_t *)f->into = (int64_t)count;
        return true;
    case FLAG_DURATION:
        if (!duration_parse(value, &ns) || ns < 0)
            return bad_value(p, f, value, "must be a duration such as 30s or 1h");
        *(int64_t *)f->into = ns / 1000000;
        return true;
    case FLAG_LIST:
        list = f->into;
        if (list->count == FLAG_VALUES_MAX)
            return bad_value(p, f, value, "is one too many");
        list->items[list->count++] = value;
        return true;
    }
    return false;
}

/* inline_value: what stood after "=", or after the letter; NULL: the next argument. */
static bool take_next(struct parser *p, const struct flag *f, const char *inline_value)
{
    if (inline_value)
        return take_value(p, f, inline_value);
    if (f->kind == FLAG_SWITCH)
        return take_value(p, f, "true");
    if (p->at + 1 >= p->argc) {
        (void)flags_complain(p->v->help, "--%s needs a value: %s", f->name, f->placeholder);
        return false;
    }
    return take_value(p, f, p->argv[++p->at]);
}

/* --- Arguments --- */

static bool complain_unknown(const struct parser *p, const char *name)
{
    const char *names[FLAGS_MAX];
    for (size_t i = 0; i < p->count; i++)
        names[i] = p->flags[i].name;
    const char *near = findings_suggest(name, names, p->count);
    if (near)
        (void)flags_complain(p->v->help, "unknown flag: --%s (did you mean --%s?)", name, near);
    else
        (void)flags_complain(p->v->help, "unknown flag: --%s", name);
    return false;
}

static bool take_long(struct parser *p, const char *text)
{
    size_t len = strcspn(text, "=");
    CLEANUP_FREE char *name = xstrndup(text, len);
    for (size_t i = 0; i < p->count; i++)
        if (str_eq(p->flags[i].name, name))
            return take_next(p, &p->flags[i], text[len] ? text + len + 1 : NULL);
    return complain_unknown(p, name);
}

/* "-w", "-nprod", "-n=prod", "-wn prod". */
static bool take_letters(struct parser *p, const char *text)
{
    while (*text) {
        const struct flag *f = NULL;
        for (size_t i = 0; i < p->count && !f; i++)
            if (p->flags[i].letter == *text)
                f = &p->flags[i];
        if (!f) {
            (void)flags_complain(p->v->help, "unknown flag: -%c", *text);
            return false;
        }
        text++;
        if (*text == '=')
            return take_next(p, f, text + 1);
        if (f->kind != FLAG_SWITCH)
            return take_next(p, f, *text ? text : NULL);
        if (!take_next(p, f, NULL))
            return false;
    }
    return true;
}

static bool take_argument(struct parser *p, const char *text)
{
    if (p->arguments->count == FLAG_VALUES_MAX) {
        (void)flags_complain(p->v->help, "too many arguments");
        return false;
    }
    p->arguments->items[p->arguments->count++] = text;
    return true;
}

static bool walk_arguments(struct parser *p)
{
    bool flags = true;
    for (p->at = 1; p->at < p->argc; p->at++) {
        const char *text = p->argv[p->at];
        bool ok;
        if (flags && str_eq(text, "--")) {
            flags = false;
            continue;
        }
        if (flags && str_starts(text, "--"))
            ok = take_long(p, text + 2);
        else if (flags && text[0] == '-' && text[1])
            ok = take_letters(p, text + 1);
        else
            ok = take_argument(p, text);
        if (!ok)
            return false;
    }
    return true;
}

static void print_completions(const struct parser *p)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct flag *f = &p->flags[i];
        for (size_t n = 0; f->kind == FLAG_CHOICE && n < f->choice_count; n++)
            (void)printf("--%s=%s\t%s\n", f->name, f->choices[n], f->help);
        if (f->kind != FLAG_CHOICE)
            (void)printf("--%s%s\t%s\n", f->name, f->kind == FLAG_SWITCH ? "" : "=", f->help);
    }
}

int flags_connection_span(char **argv, int at, int argc)
{
    struct flag_connection unused = {0};
    const struct verb_flags none = {.connection = &unused};
    struct parser p = {.v = &none};
    const char *text = argv[at];
    bool is_long = str_starts(text, "--");
    collect_connection(&p, &unused);
    for (size_t i = 0; i < p.count; i++) {
        const struct flag *f = &p.flags[i];
        size_t n = strlen(f->name);
        bool named = is_long ? strncmp(text + 2, f->name, n) == 0 &&
                                   (text[2 + n] == '\0' || text[2 + n] == '=')
                             : f->letter && text[0] == '-' && text[1] == f->letter;
        bool alone = is_long ? text[2 + n] == '\0' : text[2] == '\0';
        if (named)
            return alone && f->kind != FLAG_SWITCH && at + 1 < argc ? 2 : 1;
    }
    return 0;
}

enum flags_verdict flags_parse(int argc, char **argv, const struct verb_flags *v,
                               struct flag_values *arguments)
{
    struct parser p = {.v = v, .argc = argc, .argv = argv, .arguments = arguments};
    collect_connection(&p, v->connection);
    if (argc == 2 && str_eq(argv[1], FLAGS_COMPLETE)) {
        print_completions(&p);
        return FLAGS_HELP;
    }
    if (!walk_arguments(&p))
        return FLAGS_WRONG;
    if (!p.help)
        return FLAGS_OK;
    print_help(&p);
    return FLAGS_HELP;
}
