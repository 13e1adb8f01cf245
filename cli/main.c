#include <stdbool.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"

static const struct verb {
    const char *name, *arguments, *summary;
    int (*run)(int argc, char **argv);
    bool hidden;
} verbs[] = {
    {"lint", "FILE…|DIR|-", "check Wukong manifests offline, by the webhook's own rules", cli_lint,
     false},
    {"clone", "SOURCE", "ask for a clone of a VM or a running VMI", cli_clone, false},
    {"status", "NAME [-w]", "how far a clone is, a bar per disk", cli_status, false},
    {"why", "NAME", "what a clone waits for, and what to do", cli_why, false},
    {"rules", "", "print the reference page of all rules", cli_rules, true},
};

static void usage(FILE *out)
{
    fputs("Clone virtual machines of KubeVirt while they run.\n\nUsage:\n", out);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (!verbs[i].hidden)
            fprintf(out, "  kubectl wukong %s %s\n      %s\n", verbs[i].name, verbs[i].arguments,
                    verbs[i].summary);
    fputs("\n`kubectl wukong VERB --help` explains a verb.\n", out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return CLI_USAGE;
    }
    if (str_eq(argv[1], "--help") || str_eq(argv[1], "-h") || str_eq(argv[1], "help")) {
        usage(stdout);
        return CLI_OK;
    }
    if (str_eq(argv[1], "--version") || str_eq(argv[1], "version")) {
        puts("kubectl-wukong " WUKONG_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (str_eq(argv[1], verbs[i].name))
            return verbs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "kubectl wukong: unknown verb \"%s\"\n\n", argv[1]);
    usage(stderr);
    return CLI_USAGE;
}
