/*
 * wukong-sim --seed N [--verbose] | --seeds A..B | --fresh COUNT | --kill-each | --waiting [CELL]
 *            | --queue [CELL]
 * Runs one simulation per seed. The first seed that breaks an invariant is reported with its last
 * events and the command that replays it, and ends the program with 1. --twice runs each seed a
 * second time and compares the traces. --scoped: the workers serve the namespaces of the clones
 * alone, by watches of their own for each. --kill-each: see kill_each.c; --waiting: see waiting.c;
 * --queue: see queue.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/node_pool.h"
#include "run/sim.h"

/* Every seed replays, so where a block came from can be asked for then
   (ASAN_OPTIONS=malloc_context_size=30); in a run of hundreds the stacks cost more than they tell.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "malloc_context_size=2";
}

struct options {
    uint64_t first, last;
    bool verbose, keep_going, twice, scoped;
    const char *kill;    /* of --kill; "": all of --kill-each */
    const char *waiting; /* "": all cells; NULL: none */
    const char *queue;   /* the same */
    const char *program;
};

struct totals {
    unsigned long long seeds, violations, lines;
    unsigned long long succeeded, failed, gone, freezes, kills, filesystem, crash, offline, shared;
};

static void log_nowhere(void *arg, const char *line, size_t n)
{
    (void)arg;
    (void)line;
    (void)n;
}

static void log_out(void *arg, const char *line, size_t n)
{
    (void)arg;
    (void)printf("          %.*s", (int)n, line);
}

static void report(const struct sim *s, const struct options *o)
{
    size_t from = s->trace_lines > SIM_TRACE ? (size_t)(s->trace_lines - SIM_TRACE) : 0;
    size_t last = (size_t)s->trace_lines;
    if (!s->verbose)
        for (size_t i = last > from + 40 ? last - 40 : from; i < last; i++)
            (void)printf("  %s\n", s->trace[i % SIM_TRACE]);
    (void)printf("seed %" PRIu64 " breaks %s: %s\nreplay: %s --seed %" PRIu64 " --verbose\n",
                 s->seed, s->violation, s->violation_detail, o->program, s->seed);
}

/* The same seed gives the same run, or no failure could be replayed. */
static bool repeats(const struct sim *first)
{
    struct sim s;
    sim_init(&s, first->seed, false);
    s.scoped = first->scoped;
    log_clock(&s.clock);
    sim_run(&s);
    bool same = s.trace_hash == first->trace_hash && s.trace_lines == first->trace_lines;
    if (!same)
        (void)printf("seed %" PRIu64 " breaks same-seed-same-trace: %016" PRIx64 " after %llu "
                     "events, %016" PRIx64 " after %llu\n",
                     s.seed, first->trace_hash, first->trace_lines, s.trace_hash, s.trace_lines);
    log_clock(&clock_system);
    sim_release(&s);
    return same;
}

static bool run_seed(uint64_t seed, const struct options *o, struct totals *t)
{
    struct sim s;
    sim_init(&s, seed, o->verbose);
    s.scoped = o->scoped;
    log_clock(&s.clock);
    sim_run(&s);
    bool broken = s.violation != NULL;
    if (broken && o->keep_going)
        (void)printf("seed %" PRIu64 " breaks %s: %s\n", seed, s.violation, s.violation_detail);
    else if (broken)
        report(&s, o);
    else if (o->first == o->last)
        (void)printf("seed %" PRIu64 " holds; trace %016" PRIx64 ", %llu events, %.0f s\n", seed,
                     s.trace_hash, s.trace_lines, (double)s.now_ms / 1000);
    t->seeds++;
    t->violations += broken;
    t->lines += s.trace_lines;
    t->succeeded += s.succeeded;
    t->failed += s.failed;
    t->gone += s.gone;
    t->freezes += s.freezes;
    t->kills += s.kills;
    t->filesystem += s.filesystem;
    t->shared += s.shared;
    t->crash += s.crash;
    t->offline += s.offline;
    log_clock(&clock_system);
    bool same = !o->twice || repeats(&s);
    t->violations += !same;
    sim_release(&s);
    (void)fflush(stdout);
    return !broken && same;
}

static bool parse_range(const char *text, struct options *o)
{
    char first[24];
    const char *dots = strstr(text, "..");
    if (!dots || dots - text >= (int)sizeof first)
        return false;
    memcpy(first, text, (size_t)(dots - text));
    first[dots - text] = '\0';
    return str_to_u64(first, &o->first) && str_to_u64(dots + 2, &o->last) && o->first <= o->last;
}

static bool fresh_range(const char *text, struct options *o)
{
    uint64_t count;
    if (!str_to_u64(text, &count) || !count)
        return false;
    o->first = (uint64_t)time(NULL) * 1000;
    o->last = o->first + count - 1;
    return true;
}

static bool parse(int argc, char **argv, struct options *o)
{
    bool given = false;
    o->program = argv[0];
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (str_eq(argv[i], "--debug")) {
            log_level_set(LOG_DEBUG);
        } else if (str_eq(argv[i], "--verbose")) {
            o->verbose = true;
        } else if (str_eq(argv[i], "--keep-going")) {
            o->keep_going = true;
        } else if (str_eq(argv[i], "--scoped")) {
            o->scoped = true;
        } else if (str_eq(argv[i], "--twice")) {
            o->twice = true;
        } else if (str_eq(argv[i], "--kill-each")) {
            o->kill = "";
            given = true;
        } else if (str_eq(argv[i], "--queue")) {
            o->queue = value;
            given = true;
            i += *value != '\0';
        } else if (str_eq(argv[i], "--waiting")) {
            o->waiting = value;
            given = true;
            i += *value != '\0';
        } else if (str_eq(argv[i], "--kill") && *value) {
            o->kill = value;
            given = true;
            i++;
        } else if (str_eq(argv[i], "--seed") && str_to_u64(value, &o->first)) {
            o->last = o->first;
            given = true;
            i++;
        } else if ((str_eq(argv[i], "--seeds") && parse_range(value, o)) ||
                   (str_eq(argv[i], "--fresh") && fresh_range(value, o))) {
            given = true;
            i++;
        } else {
            return false;
        }
    }
    return given;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct totals t = {0};
    mem_join_early(); /* as the worker; a run takes a seventh less */
    node_pool_use();
    if (!parse(argc, argv, &o)) {
        (void)fprintf(stderr,
                      "usage: %s --seed N | --seeds A..B | --fresh COUNT | --kill-each | "
                      "--kill TYPE/WHEN/N | --waiting [CELL] [--verbose] [--debug] [--keep-going] "
                      "[--twice] [--scoped]\n",
                      argv[0]);
        return 2;
    }
    log_to(o.verbose ? log_out : log_nowhere, NULL);
    if (o.queue)
        return queue_all(o.queue, o.verbose) ? 0 : 1;
    if (o.waiting)
        return waiting_all(o.waiting, o.verbose) ? 0 : 1;
    if (o.kill)
        return (*o.kill ? kill_one(o.program, o.kill, o.verbose) : kill_each(o.program, o.verbose))
                   ? 0
                   : 1;
    for (uint64_t seed = o.first; seed <= o.last; seed++)
        if (!run_seed(seed, &o, &t) && !o.keep_going)
            return 1;
    (void)printf("seeds %" PRIu64 "..%" PRIu64 ": %llu run, %llu broken; clones: %llu succeeded, "
                 "%llu failed, %llu deleted; cuts: %llu frozen, %llu crash, %llu offline; "
                 "%llu freezes, %llu shared, %llu kills, %llu events\n",
                 o.first, o.last, t.seeds, t.violations, t.succeeded, t.failed, t.gone,
                 t.filesystem, t.crash, t.offline, t.freezes, t.shared, t.kills, t.lines);
    return t.violations ? 1 : 0;
}
