/*
 * struct err: why a function failed, in a fixed buffer that the caller owns. Nothing to free.
 *
 * A fallible function returns 0, or -1 with *err filled; on success err is untouched. Raise and
 * return in one statement: `return err_set(err, ERR_CONFLICT, "…")`. A caller adds its context on
 * the way up with err_wrap. What a user wrote wrong is no err: it is an entry in a list of field
 * errors (wukong/rules/findings.h). The kind says what the caller will do about it, nothing finer.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/limits.h"

enum err_kind {
    ERR_NONE = 0,
    ERR_INVALID,      /* The input is malformed: deny, or give up. */
    ERR_LIMIT,        /* A bound of limits.h was reached: deny, or give up. */
    ERR_NOT_FOUND,    /* 404: the object is not there. */
    ERR_EXISTS,       /* 409 AlreadyExists. */
    ERR_CONFLICT,     /* 409 Conflict: read again, then retry. */
    ERR_EXPIRED,      /* 410 Gone, Expired, or a resource version too large: relist. */
    ERR_REFUSED,      /* 400, 403, 405, 406, 413, 415, 422: the same request is refused again. */
    ERR_UNAUTHORIZED, /* 401: read the credentials again, then retry. */
    ERR_THROTTLED,    /* 429, or 503 with Retry-After: retry after the time named. */
    ERR_UNAVAILABLE,  /* The request was not sent, or the server says so: retry. */
    ERR_AMBIGUOUS,    /* The answer was lost: the write may have taken effect. */
    ERR_INTERNAL,     /* Anything else: a bug, or the machine. */
};

struct err {
    enum err_kind kind;
    char message[ERR_MESSAGE_MAX];
};

/* The kind's name for logs and metrics, such as "Conflict". Never NULL. */
const char *err_kind_name(enum err_kind kind);

/* Fills err (which may be NULL) and returns -1. Text past the buffer is cut at a UTF-8 boundary. */
int err_set(struct err *err, enum err_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prepends "context: " to the message, keeps the kind, returns -1. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define WUKONG_CHECK __attribute__((warn_unused_result))

#endif
