#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/lint.h"
#include "cli/terminal_text.h"

static int add_file(struct lint *l, const char *path, bool named, struct err *err)
{
    if (l->file_count == LINT_FILES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d files", LINT_FILES_MAX);
    l->files = xrealloc(l->files, (l->file_count + 1) * sizeof(*l->files));
    l->files[l->file_count++] = (struct lint_file){xstrdup(path), named, NULL};
    return 0;
}

/* One that cannot be read hides no other: it is told in its place. */
static int add_unusable(struct lint *l, const char *path, const char *why, struct err *err)
{
    if (add_file(l, path, true, err) < 0)
        return -1;
    l->files[l->file_count - 1].unusable = xstrdup(why);
    return 0;
}

/* By its name, or its path from where lint was told to look; a pattern without a slash never spans
   one. */
static bool is_ignored(const struct lint *l, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < l->ignored_count; i++) {
        const char *pattern = l->ignored[i];
        if (fnmatch(pattern, strchr(pattern, '/') ? path : name, FNM_PERIOD) == 0)
            return true;
    }
    return false;
}

static bool is_manifest(const char *name)
{
    return str_ends(name, ".yaml") || str_ends(name, ".yml") || str_ends(name, ".json");
}

static int collect_path(struct lint *l, const char *path, bool named, size_t depth,
                        struct err *err);

static int collect_directory(struct lint *l, const char *path, size_t depth, struct err *err)
{
    struct dirent **entries = NULL;
    int result = 0;
    if (depth > LINT_DIRECTORY_DEPTH)
        return add_unusable(l, path, "directories nested too deep", err);
    int n = scandir(path, &entries, NULL, alphasort);
    if (n < 0)
        return add_unusable(l, path, strerror(errno), err);
    for (int i = 0; i < n; i++) {
        /* Hidden ones are .git and its like. */
        if (result == 0 && entries[i]->d_name[0] != '.') {
            CLEANUP_FREE char *child = xasprintf("%s/%s", path, entries[i]->d_name);
            result = collect_path(l, child, false, depth + 1, err);
        }
        free(entries[i]);
    }
    free(entries);
    return result;
}

static int collect_path(struct lint *l, const char *path, bool named, size_t depth, struct err *err)
{
    struct stat st;
    if (!named && is_ignored(l, path)) {
        l->skipped++;
        return 0;
    }
    /* Links found in a directory are not followed: they could lead round in circles. */
    if ((named ? stat(path, &st) : lstat(path, &st)) < 0)
        return add_unusable(l, path, strerror(errno), err);
    if (S_ISDIR(st.st_mode))
        return collect_directory(l, path, depth, err);
    if (named || (S_ISREG(st.st_mode) && is_manifest(path)))
        return add_file(l, path, named, err);
    return 0;
}

int lint_collect(struct lint *l, const char *path, struct err *err)
{
    if (str_eq(path, "-"))
        return add_file(l, path, true, err);
    return collect_path(l, path, true, 0, err);
}

int lint_read(const char *path, struct buf *out, struct err *err)
{
    char chunk[16 * KIB];
    if (!str_eq(path, "-"))
        return buf_read_file(out, path, err);
    for (;;) {
        ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_INTERNAL, "standard input: %s", strerror(errno));
        if (n == 0)
            return 0;
        if (!buf_add(out, chunk, (size_t)n))
            return err_set(err, ERR_LIMIT, "standard input has more than %zu bytes", out->max);
    }
}

void lint_release(struct lint *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->findings[i].file);
        free(l->findings[i].object);
        free(l->findings[i].field);
        free(l->findings[i].message);
    }
    for (size_t i = 0; i < l->file_count; i++) {
        free(l->files[i].path);
        free(l->files[i].unusable);
    }
    free(l->findings);
    free(l->files);
    *l = (struct lint){0};
}

/* Without what a terminal, or whoever shows a report, would obey: it comes from the manifest. */
static char *harmless(const char *text)
{
    CLEANUP_BUF struct buf out = BUF_INIT(MIB);
    terminal_text_add(&out, text);
    return buf_take(&out);
}

void lint_add(struct lint *l, const struct lint_finding *finding)
{
    if (finding->error)
        l->errors++;
    else
        l->warnings++;
    if (l->count == LINT_FINDINGS_MAX)
        return;
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 32;
        l->findings = xrealloc(l->findings, l->cap * sizeof(*l->findings));
    }
    struct lint_finding *f = &l->findings[l->count++];
    *f = *finding;
    f->file = xstrdup(finding->file);
    f->object = xstrdup(finding->object);
    f->field = harmless(finding->field);
    f->message = harmless(finding->message);
}

static int by_place(const void *a, const void *b)
{
    const struct lint_finding *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    int field = strcmp(x->field, y->field);
    return field ? field : strcmp(x->rule, y->rule);
}

void lint_sort(struct lint *l, size_t first)
{
    if (l->count > first)
        qsort(l->findings + first, l->count - first, sizeof(*l->findings), by_place);
}
