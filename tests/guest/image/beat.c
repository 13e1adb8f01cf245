/* wukong-beat FILE…: how long the file systems stand still, seen from inside the guest.
 *
 * One process per file overwrites its first block and waits until the disk has it, every 10 ms. A
 * file system that is frozen holds that process up. Once a second the parent prints a line to the
 * console: the wall clock, the time since boot, and per file the longest that a write has taken or
 * has been under way within that second, in ms:
 *
 *     beat 1764612345.678 up=12.345 stall=3,251
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 8
#define PERIOD_NS 10000000L

/* Shared between one writer and the parent. Times are of CLOCK_MONOTONIC, in ns. */
struct beat {
    _Atomic long began;   /* of the write that is under way; 0: none is */
    _Atomic long longest; /* the longest write that ended since the parent looked */
};

static long now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void nap(long ns)
{
    struct timespec t = {ns / 1000000000L, ns % 1000000000L};
    nanosleep(&t, NULL);
}

static void write_for_ever(const char *path, struct beat *beat)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int file = open(path, O_WRONLY | O_CREAT, 0600);
    if (file < 0) {
        perror(path);
        _exit(1);
    }
    for (long n = 0;; n++) {
        char block[512] = {0};
        snprintf(block, sizeof block, "%ld\n", n);
        long began = now_ns(CLOCK_MONOTONIC);
        atomic_store(&beat->began, began);
        if (pwrite(file, block, sizeof block, 0) < 0 || fdatasync(file) < 0) {
            perror(path);
            _exit(1);
        }
        long took = now_ns(CLOCK_MONOTONIC) - began;
        atomic_store(&beat->began, 0);
        if (took > atomic_load(&beat->longest))
            atomic_store(&beat->longest, took);
        nap(PERIOD_NS);
    }
}

static long stall_ms(struct beat *beat)
{
    long longest = atomic_exchange(&beat->longest, 0), began = atomic_load(&beat->began);
    long open = began ? now_ns(CLOCK_MONOTONIC) - began : 0;
    return (open > longest ? open : longest) / 1000000;
}

int main(int argc, char **argv)
{
    int files = argc - 1;
    if (files < 1 || files > FILES_MAX)
        return 2;
    struct beat *beats = mmap(NULL, sizeof *beats * FILES_MAX, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (beats == MAP_FAILED)
        return 1;
    for (int i = 0; i < files; i++)
        if (fork() == 0)
            write_for_ever(argv[i + 1], &beats[i]);
    for (;;) {
        nap(1000000000L);
        long wall = now_ns(CLOCK_REALTIME), up = now_ns(CLOCK_MONOTONIC);
        char line[200];
        int n =
            snprintf(line, sizeof line, "beat %ld.%03ld up=%ld.%03ld stall=", wall / 1000000000L,
                     wall / 1000000L % 1000, up / 1000000000L, up / 1000000L % 1000);
        for (int i = 0; i < files; i++)
            n += snprintf(line + n, sizeof line - (size_t)n, "%s%ld", i ? "," : "",
                          stall_ms(&beats[i]));
        line[n++] = '\n';
        if (write(STDOUT_FILENO, line, (size_t)n) < 0)
            return 1;
    }
}
