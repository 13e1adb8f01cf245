#include "kube/watches.h"

#include "base/mem.h"

struct watches {
    const struct clock *clock;
    int64_t began_ms;
    bool quiet; /* no bookmarks */
    size_t count;
    struct reflector *items[];
};

struct watches *watches_new(const struct reflector_options *each, const char *const *namespaces,
                            size_t count)
{
    size_t n = count ? count : 1;
    struct watches *w = xcalloc(1, sizeof *w + n * sizeof *w->items);
    w->count = n;
    w->clock = each->clock;
    w->quiet = store_kind(each->store)->no_bookmarks;
    for (size_t i = 0; i < n; i++) {
        struct reflector_options one = *each;
        if (count && store_kind(each->store)->cluster_scoped)
            one.name = namespaces[i];
        else if (count)
            one.ns = namespaces[i];
        w->items[i] = reflector_new(&one);
    }
    return w;
}

void watches_free(struct watches *w)
{
    for (size_t i = 0; w && i < w->count; i++)
        reflector_free(w->items[i]);
    free(w);
}

void watches_start(struct watches *w)
{
    w->began_ms = clock_mono(w->clock);
    for (size_t i = 0; i < w->count; i++)
        reflector_start(w->items[i]);
}

void watches_refresh(struct watches *w)
{
    for (size_t i = 0; i < w->count; i++)
        reflector_refresh(w->items[i]);
}

bool watches_synced(const struct watches *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (!reflector_synced(w->items[i]))
            return false;
    return true;
}

bool watches_served(const struct watches *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (!reflector_served(w->items[i]))
            return false;
    return true;
}

const char *watches_version(const struct watches *w)
{
    return reflector_version(w->items[0]);
}

int64_t watches_age_ms(const struct watches *w)
{
    int64_t heard_ms = INT64_MAX;
    for (size_t i = 0; i < w->count; i++)
        if (reflector_heard_ms(w->items[i]) < heard_ms)
            heard_ms = reflector_heard_ms(w->items[i]);
    return clock_mono(w->clock) - (heard_ms > w->began_ms ? heard_ms : w->began_ms);
}

bool watches_stale(const struct watches *w)
{
    return watches_age_ms(w) > (w->quiet ? REFLECTOR_STALE_QUIET_MS : REFLECTOR_STALE_MS);
}
