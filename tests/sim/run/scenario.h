/* What the two halves of the scenario share: draws, and the sources. */
#ifndef RUN_SCENARIO_H
#define RUN_SCENARIO_H

#include "run/sim.h"

static inline const char *scenario_pick(struct sim *s, const char *const *words, size_t n)
{
    return words[rng_range(&s->rng, 0, (int64_t)n - 1)];
}
#define PICK(s, ...)                                                                               \
    scenario_pick((s), (const char *const[]){__VA_ARGS__},                                         \
                  ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static inline bool maybe(struct sim *s, unsigned per_mille)
{
    return rng_chance(&s->rng, per_mille);
}

/* --- scenario_sources.c --- */

/* The source that must be cloned in the calm. */
extern const char scenario_fresh_source[];
/* A source by chance; NULL when there is none. */
struct machine *scenario_any_source(struct sim *s);
/* With a StorageProfile of each class. */
void scenario_install_cdi(struct sim *s, bool installed);

#endif
