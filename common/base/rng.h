/*
 * struct rng: the only source of randomness (xoshiro256**, seeded through splitmix64). Not for
 * keys: those come from OpenSSL. The same seed gives the same sequence, which the simulator needs.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
/* Seeds from the kernel. */
void rng_seed_system(struct rng *r);
uint64_t rng_next(struct rng *r);
/* Uniform in [low, high]; low <= high. */
int64_t rng_range(struct rng *r, int64_t low, int64_t high);
/* True with probability per_mille / 1000. */
bool rng_chance(struct rng *r, unsigned per_mille);
/* base × [1, 1 + percent/100], as client-go's wait.Jitter. */
int64_t rng_jitter(struct rng *r, int64_t base, unsigned percent);

#endif
