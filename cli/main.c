#include <stdbool.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/flags.h"
#include "wukong/rules/findings.h"

static const struct verb {
    const char *name, *arguments, *summary;
    int (*run)(int argc, char **argv);
    bool hidden;
} verbs[] = {
    {"clone", "SOURCE", "ask for a clone of a VM or a running VMI", cli_clone, false},
    {"plan", "NAME|FILE|-", "what a clone would do, cost and wait for; creates nothing", cli_plan,
     false},
    {"status", "NAME [-w]", "how far a clone is, a bar per disk", cli_status, false},
    {"why", "NAME", "what a clone waits for, until when, and what to do", cli_why, false},
    {"lint", "FILE…|DIR|-", "check Wukong manifests offline, by the webhook's own rules", cli_lint,
     false},
    {"list", "[-A]", "the clones of a namespace, or of all", cli_list, false},
    {"explain", "RULE", "what a rule asks for, and how to satisfy it", cli_explain, false},
    {"completion", "bash|zsh|fish", "print the shell's completion of kubectl-wukong",
     cli_completion, false},
    {"rules", "", "print the reference page of all rules", cli_rules, true},
    {"__complete", "", "what may follow, as kubectl asks", cli_complete, true},
};

static void print_usage(FILE *out)
{
    (void)fputs("Clone KubeVirt's virtual machines while they run.\n\nUsage:\n", out);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (!verbs[i].hidden)
            (void)fprintf(out, "  kubectl wukong %s %s\n      %s\n", verbs[i].name,
                          verbs[i].arguments, verbs[i].summary);
    (void)fputs("\n'kubectl wukong VERB -h' explains a verb.\n", out);
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (str_eq(name, verbs[i].name))
            return &verbs[i];
    return NULL;
}

static int complain_verb(const char *name)
{
    const char *names[ARRAY_LEN(verbs)];
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        names[i] = verbs[i].name;
    const char *near = findings_suggest(name, names, ARRAY_LEN(verbs));
    (void)fprintf(stderr, "kubectl wukong: unknown %s \"%s\"%s%s%s\n\n",
                  *name == '-' ? "flag" : "verb", name, near ? " (did you mean " : "",
                  str_or(near, ""), near ? "?)" : "");
    print_usage(stderr);
    return CLI_USAGE;
}

/* A report that was cut short must not pass for a good one. */
static int check_written(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    (void)fprintf(stderr, "kubectl wukong: the output could not be written: %s\n", strerror(errno));
    return code == CLI_OK || code == CLI_FINDINGS ? CLI_USAGE : code;
}

static void each_verb(void (*tell)(void *arg, const char *name, const char *summary), void *arg)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (!verbs[i].hidden)
            tell(arg, verbs[i].name, verbs[i].summary);
}

static int run_one(const char *verb, int argc, char **argv)
{
    const struct verb *v = find_verb(verb);
    return v ? v->run(argc, argv) : CLI_USAGE;
}

/* `kubectl wukong -n prod list`: what stands before the verb goes behind it. */
static void put_verb_first(int argc, char **argv)
{
    int at = 1;
    for (int span; at < argc && (span = flags_connection_span(argv, at, argc)) > 0;)
        at += span;
    if (at == 1 || at >= argc || *argv[at] == '-')
        return;
    char *verb = argv[at];
    memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof *argv);
    argv[1] = verb;
}

static int run_verb(int argc, char **argv)
{
    bool asks = argc > 1 && (str_eq(argv[1], "-h") || str_eq(argv[1], "--help"));
    if (!asks)
        put_verb_first(argc, argv);
    if (argc < 2) {
        print_usage(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    bool help = str_eq(name, "--help") || str_eq(name, "-h") || str_eq(name, "help");
    if (help && argc == 2) {
        print_usage(stdout);
        return CLI_OK;
    }
    if (str_eq(name, "--version") || str_eq(name, "version")) {
        (void)puts("kubectl-wukong " WUKONG_VERSION);
        return CLI_OK;
    }
    const struct verb *v = find_verb(help ? argv[2] : name);
    if (!v)
        return complain_verb(help ? argv[2] : name);
    char *asked[] = {argv[2], (char *)"-h", NULL};
    return help ? v->run(2, asked) : v->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    static const struct cli_verbs known = {each_verb, run_one};
    completion_knows(&known);
    return check_written(run_verb(argc, argv));
}
