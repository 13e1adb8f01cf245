/*
 * Flags of the verbs, read as kubectl reads its own (spf13/pflag): `--name value`, `--name=value`,
 * `-n value`, `-nvalue`, `-n=value`, `--switch=false`, in any order with the arguments, until "--".
 * A verb is a table of flags and a struct of texts; its help is printed from the same table, so
 * that none of them is undocumented. Values are borrowed from argv.
 */
#ifndef CLI_FLAGS_H
#define CLI_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FLAG_VALUES_MAX 64

enum flag_kind {
    FLAG_SWITCH,   /* bool */
    FLAG_TEXT,     /* const char * */
    FLAG_CHOICE,   /* const char *, one of choices */
    FLAG_COUNT,    /* int64_t, from 1 */
    FLAG_LEVEL,    /* int64_t, from 0 */
    FLAG_DURATION, /* int64_t, milliseconds; "30s", "1h"; 0: none */
    FLAG_LIST,     /* struct flag_values; may be given again */
};

struct flag_values {
    const char *items[FLAG_VALUES_MAX];
    size_t count;
};

struct flag {
    const char *name;
    char letter; /* 0: none */
    enum flag_kind kind;
    void *into;              /* what kind says */
    const char *placeholder; /* of the value, for the help */
    const char *help;
    const char *const *choices;
    size_t choice_count;
};

/* Ends the row of a flag that has no list of choices. */
#define FLAG_ANY NULL, 0

struct verb_help {
    const char *verb, *arguments;
    const char *summary; /* whole sentences */
    const char *examples;
    const char *exits;
};

struct verb_flags {
    const struct verb_help *help;
    const struct flag *own; /* beside those of the connection, which every verb here has */
    size_t count;
    struct flag_connection {
        const char *kubeconfig, *context, *cluster, *user, *server, *token, *ns, *as, *as_uid;
        const char *ca_file, *cert_file, *key_file, *tls_server_name;
        struct flag_values as_groups;
        bool insecure;
        int64_t request_timeout_ms; /* 0: none but the client's own */
        int64_t verbosity;          /* from 6 on each request is told, as kubectl does */
    } * connection;
};

/* The only argument of a verb that is to print its flags, a line each: "--name<TAB>what it is", and
   a line "--name=VALUE" for each of its choices. */
#define FLAGS_COMPLETE "\1flags"
/* A flag of the connection, in any of its forms, at argv[at]: how many arguments it takes up, 1 or
   2. 0: it is none. */
int flags_connection_span(char **argv, int at, int argc);

enum flags_verdict { FLAGS_OK, FLAGS_HELP, FLAGS_WRONG };
/* HELP was printed to stdout; WRONG was explained on stderr. arguments: what is no flag. */
enum flags_verdict flags_parse(int argc, char **argv, const struct verb_flags *v,
                               struct flag_values *arguments);
/* The exit code that a verdict ends with; -1: go on. */
int flags_code(enum flags_verdict verdict);
/* "kubectl wukong VERB: …" and where the help is, on stderr; returns CLI_USAGE. */
int flags_complain(const struct verb_help *help, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
