/*
 * kubectl wukong completion, and what the shells ask: which words may stand where the cursor is.
 * kubectl asks a plugin by the program kubectl_complete-NAME and reads what cobra prints: a word a
 * line, a tab and what it is, and ":DIRECTIVE" at the end (kubectl pkg/cmd/plugin
 * plugin_completion.go).
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/flags.h"

/* cobra's ShellCompDirectiveNoFileComp, and ...Default. */
#define NO_FILES 4
#define FILES 0

static const struct cli_verbs *known;

void completion_knows(const struct cli_verbs *verbs)
{
    known = verbs;
}

static const char bash_text[] =
    "_kubectl_wukong() {\n"
    "    local IFS=$'\\n' out\n"
    "    out=$(kubectl-wukong __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "    COMPREPLY=($(compgen -W \"$(printf '%s\\n' \"$out\" | grep -v '^:' | cut -f1)\" -- "
    "\"${COMP_WORDS[COMP_CWORD]}\"))\n"
    "    [[ $out == *:0 && ${#COMPREPLY[@]} -eq 0 ]] && "
    "COMPREPLY=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
    "}\n"
    "complete -o nospace -F _kubectl_wukong kubectl-wukong\n";

static const char zsh_text[] =
    "#compdef kubectl-wukong\n"
    "_kubectl_wukong() {\n"
    "    local -a words_found\n"
    "    local line out\n"
    "    out=$(kubectl-wukong __complete \"${words[@]:1:$((CURRENT - 1))}\" 2>/dev/null)\n"
    "    for line in ${(f)out}; do\n"
    "        [[ $line == :* ]] || words_found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
    "    done\n"
    "    if (( ${#words_found} )); then _describe 'kubectl wukong' words_found; else _files; fi\n"
    "}\n"
    "compdef _kubectl_wukong kubectl-wukong\n";

static const char fish_text[] =
    "function __kubectl_wukong_complete\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    kubectl-wukong __complete $words[2..-1] 2>/dev/null | string match -v -r '^:'\n"
    "end\n"
    "complete -c kubectl-wukong -f -a '(__kubectl_wukong_complete)'\n";

int cli_completion(int argc, char **argv)
{
    static const struct {
        const char *shell, *text;
    } shells[] = {{"bash", bash_text}, {"zsh", zsh_text}, {"fish", fish_text}};
    for (size_t i = 0; argc == 2 && i < ARRAY_LEN(shells); i++)
        if (str_eq(argv[1], shells[i].shell)) {
            (void)fputs(shells[i].text, stdout);
            return CLI_OK;
        }
    bool help = argc == 2 && (str_eq(argv[1], "-h") || str_eq(argv[1], "--help") ||
                              str_eq(argv[1], FLAGS_COMPLETE));
    (void)fputs(
        "Usage:\n  kubectl wukong completion bash|zsh|fish\n\n"
        "Examples:\n"
        "  source <(kubectl-wukong completion bash)\n"
        "  kubectl-wukong completion zsh > \"${fpath[1]}/_kubectl-wukong\"\n"
        "  kubectl-wukong completion fish > ~/.config/fish/completions/kubectl-wukong.fish\n\n"
        "For `kubectl wukong` itself, put a program kubectl_complete-wukong into the PATH:\n"
        "  #!/bin/sh\n"
        "  exec kubectl-wukong __complete \"$@\"\n\n"
        "Exit codes:\n  0  it was printed\n  2  wrong usage\n",
        help ? stdout : stderr);
    return help ? CLI_OK : CLI_USAGE;
}

static void offer_verb(void *arg, const char *name, const char *summary)
{
    const char *begun = arg;
    if (str_starts(name, begun))
        (void)printf("%s\t%s\n", name, summary);
}

/* The names that the user may list, with the connection flags of the line; whatever goes wrong, no
   more than nothing is offered. */
static void offer_names(int argc, char **argv)
{
    char *list[64] = {(char *)"list", (char *)"--output=plain", (char *)"--request-timeout=3s"};
    int n = 3;
    for (int i = 1; i + 1 < argc; i++)
        for (int span = flags_connection_span(argv, i, argc - 1); span > 0 && n < 60; span--)
            list[n++] = argv[span == 2 ? i++ : i];
    if (!freopen("/dev/null", "w", stderr))
        return;
    (void)known->run("list", n, list);
}

int cli_complete(int argc, char **argv)
{
    char *begun = argc > 1 ? argv[argc - 1] : (char *)"";
    const char *verb = NULL;
    for (int i = 1; i + 1 < argc && !verb; i++) {
        int span = flags_connection_span(argv, i, argc);
        if (span == 2)
            i++;
        else if (!span && *argv[i] != '-')
            verb = argv[i];
    }
    bool of_files = str_eq(verb, "lint");
    if (!verb && *begun != '-') {
        known->each(offer_verb, begun);
    } else if (*begun == '-') {
        char *flags[] = {(char *)str_or(verb, "list"), (char *)FLAGS_COMPLETE, NULL};
        if (!str_eq(verb, "lint") && !str_eq(verb, "explain") && !str_eq(verb, "completion"))
            (void)known->run(str_or(verb, "list"), 2, flags);
    } else if (str_eq(verb, "completion")) {
        (void)fputs("bash\nzsh\nfish\n", stdout);
    } else if (str_eq(verb, "status") || str_eq(verb, "why") || str_eq(verb, "plan")) {
        offer_names(argc, argv);
        of_files = str_eq(verb, "plan");
    }
    (void)printf(":%d\n", of_files ? FILES : NO_FILES);
    return CLI_OK;
}
