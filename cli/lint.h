/*
 * lint in three parts: lint_cmd.c judges documents, lint_files.c finds files, lint_output.c prints.
 */
#ifndef CLI_LINT_H
#define CLI_LINT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Findings kept; past it they are counted only. */
#define LINT_FINDINGS_MAX 100000
#define LINT_FILES_MAX 100000
#define LINT_DIRECTORY_DEPTH 32

struct lint_finding {
    size_t file_index;   /* into files */
    char *file, *object; /* object: "Wukong prod/web", or "" for the file itself */
    unsigned line, column;
    bool error;
    const char *rule; /* static */
    char *field, *message;
};

struct lint_file {
    char *path;
    bool named;     /* on the command line, as against found in a directory */
    char *unusable; /* why it cannot be read; NULL: not known yet */
};

struct lint {
    struct lint_finding *findings;
    size_t count, cap;
    size_t errors, warnings, objects;
    struct lint_file *files;
    size_t file_count;
    size_t unreadable, skipped; /* files; skipped: templates of Helm, and what --ignore names */
    const char *const *ignored; /* patterns; a file or folder of that name or path is left out */
    size_t ignored_count;
};

void lint_release(struct lint *l);
/* Copies the texts, field and message without control characters. */
void lint_add(struct lint *l, const struct lint_finding *finding);
/* Brings the findings from index `first` on into the order of the lines. */
void lint_sort(struct lint *l, size_t first);

/* Adds the file, the files of a directory (*.yaml, *.yml, *.json, sorted, below it too), or "-". */
WUKONG_CHECK int lint_collect(struct lint *l, const char *path, struct err *err);
/* "-" is standard input. */
WUKONG_CHECK int lint_read(const char *path, struct buf *out, struct err *err);

enum lint_format { LINT_TEXT, LINT_JSON, LINT_JUNIT, LINT_SARIF, LINT_FORMATS };
extern const char *const lint_format_names[LINT_FORMATS];
/* What has no rule of the table: text that does not parse, policies, kinds, files. */
/* Prints to stdout; whether that could be written is main's to look at. */
void lint_print(const struct lint *l, enum lint_format format, bool warnings_fail);

#endif
