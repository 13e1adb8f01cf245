/*
 * The main program of a fuzz target in an ordinary build: gives it every file of the folders named
 * on the command line, and a handful of inputs that no corpus needs to hold (systemd
 * src/fuzz/fuzz-main.c is the model).
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    CLEANUP_BUF struct buf input = BUF_INIT(8u * MIB);
    struct err err = {0};
    if (buf_read_file(&input, path, &err) < 0) {
        fprintf(stderr, "%s: %s\n", path, err.message);
        return -1;
    }
    (void)LLVMFuzzerTestOneInput((const uint8_t *)input.data, input.len);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    static const char zeros[4096];
    for (size_t n = 0; n <= sizeof zeros; n = n ? n * 2 : 1)
        (void)LLVMFuzzerTestOneInput((const uint8_t *)zeros, n);
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            fprintf(stderr, "%s: no such folder\n", argv[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(folder));) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (replay(path) < 0)
                return 1;
            count++;
        }
        closedir(folder);
    }
    printf("%u inputs replayed\n", count);
    return count ? 0 : 1;
}
