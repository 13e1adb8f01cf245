/*
 * struct kube_token: the bearer token. A token file is read again when what we hold is 60 s old and
 * at once after a 401 (client-go transport/token_source.go: cachingTokenSource with a leeway,
 * period of 1 minute), because the kubelet rotates projected tokens in place. While the file cannot
 * be read, the former token stays in use. Who
 * has a source of another kind gives it (kube_token_init_source). Depends on base alone.
 */
#ifndef KUBE_TOKEN_H
#define KUBE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define KUBE_TOKEN_READ_MS 60000
/* After 401s in a row the file is not read more often than this. */
#define KUBE_TOKEN_READ_MS_MIN 1000

/* Who gives the token of each request; refused: the server has answered 401 since it was asked
   last. The answer is borrowed until the next call; NULL: there is none. */
struct kube_token_source {
    const char *(*current)(void *arg, bool refused);
    void *arg;
};

/* It may stand in a header: no blank and no control character, which would end the line. */
bool kube_token_sound(const char *text);

struct kube_token {
    const struct clock *clock;
    char *file; /* NULL: the text is fixed */
    char *text;
    int64_t read_ms;
    bool ever_read, expired;
    struct kube_token_source source; /* current NULL: text or file */
};

/* At most one of fixed and file; neither: no token. Both are copied; clock is borrowed. */
void kube_token_init(struct kube_token *t, const struct clock *clock, const char *fixed,
                     const char *file);
void kube_token_init_source(struct kube_token *t, const struct clock *clock,
                            struct kube_token_source source);
void kube_token_release(struct kube_token *t);
/* The token without white space around it; NULL when there is none. Borrowed until the next call.
 */
const char *kube_token_current(struct kube_token *t);
/* The server answered 401: the next call reads the file. */
void kube_token_expire(struct kube_token *t);

#endif
