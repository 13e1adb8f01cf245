/*
 * kubectl-wukong: one file per verb, one row per verb in main.c. A verb gets the arguments after
 * its name, prints what it found on stdout and what went wrong on stderr, and returns the exit
 * code.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

enum cli_exit {
    CLI_OK = 0,
    CLI_FINDINGS = 1,  /* the verb worked and the answer is no */
    CLI_FAILED = 1,    /* it did not work, or the clone has failed */
    CLI_USAGE = 2,     /* wrong arguments, unreadable files */
    CLI_UNDER_WAY = 3, /* the clone has not ended yet, or it cannot be told */
    CLI_GONE = 4       /* it was deleted while it was watched */
};

/* argv[0] is the verb. */
int cli_lint(int argc, char **argv);
int cli_rules(int argc, char **argv);
int cli_clone(int argc, char **argv);
int cli_plan(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_why(int argc, char **argv);
int cli_list(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_completion(int argc, char **argv);
/* Hidden: the words that may stand where the last argument stands, as cobra's __complete prints
   them (kubectl runs kubectl_complete-wukong for a plugin). */
int cli_complete(int argc, char **argv);

/* What completion must know of the verbs, whose table is main.c's: each that is shown; and how one
   runs, argv[0] being its name. */
struct cli_verbs {
    void (*each)(void (*tell)(void *arg, const char *name, const char *summary), void *arg);
    int (*run)(const char *verb, int argc, char **argv);
};
/* Before any verb runs. Borrowed. */
void completion_knows(const struct cli_verbs *verbs);

#endif
