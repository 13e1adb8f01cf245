/*
 * Runs a fuzz target over files, or over every file of folders, without libFuzzer: the corpus is
 * replayed under ctest. It fails when there is nothing to replay, so that a wrong path is noticed.
 */
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replay_file(const char *path)
{
    CLEANUP_BUF struct buf b = BUF_INIT(64 * MIB);
    struct err err = {0};
    if (buf_read_file(&b, path, &err) != 0) {
        (void)fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    /* An exact copy, so that a read past the end is found. */
    CLEANUP_FREE uint8_t *exact = xmalloc(b.len);
    if (b.len)
        memcpy(exact, b.data, b.len);
    (void)LLVMFuzzerTestOneInput(exact, b.len);
    return 1;
}

static unsigned replay_folder(const char *path)
{
    unsigned count = 0;
    const struct dirent *entry;
    DIR *folder = opendir(path);
    if (!folder) {
        (void)fprintf(stderr, "%s: errno %d\n", path, errno);
        exit(1);
    }
    while ((entry = readdir(folder)) != NULL) {
        CLEANUP_FREE char *name = xasprintf("%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            count += replay_file(name);
    }
    (void)closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        bool folder = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        count += folder ? replay_folder(argv[i]) : replay_file(argv[i]);
    }
    (void)printf("%u inputs replayed\n", count);
    return count > 0 ? 0 : 1;
}
