/*
 * Label selectors: metav1.LabelSelector objects and the string form of labels.Parse, with the same
 * verdicts as apimachinery. A selector is decoded into an arena; matching needs no allocation.
 */
#ifndef API_SELECTOR_H
#define API_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "base/err.h"
#include "base/mem.h"
#include "wukong/api/spec.h"

enum selector_operator {
    SELECTOR_IN,
    SELECTOR_NOT_IN,
    SELECTOR_EXISTS,
    SELECTOR_DOES_NOT_EXIST,
    SELECTOR_GREATER,
    SELECTOR_LESS
};

struct selector_term {
    const char *key;
    enum selector_operator op;
    const char **values;
    size_t count;
};

struct selector {
    struct selector_term *terms; /* all must hold; none: everything matches */
    size_t count;
};

/* "a=b,c in (d,e),!f,g>1". */
WUKONG_CHECK int selector_parse(struct arena *a, const char *text, struct selector *ret,
                                struct err *err);
/* {matchLabels, matchExpressions}; NULL or an empty object matches everything. */
WUKONG_CHECK int selector_decode(struct arena *a, const cJSON *object, struct selector *ret,
                                 struct err *err);
bool selector_matches(const struct selector *s, const struct wukong_pairs *labels);

#endif
