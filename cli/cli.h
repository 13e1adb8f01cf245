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

#endif
