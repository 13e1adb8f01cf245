/*
 * struct usage: how many clones are running, per cluster, source, target namespace and storage
 * class, and which clones wait for which limit. Each change updates the counters; no list is
 * walked, so an event costs the same with ten clones and with ten thousand.
 *
 * A queue holds the clones that wait for one limit of one policy in one scope, oldest first. Only
 * the head of a queue may take a freed slot, so nobody starves; usage_behind returns true for the
 * others. The head is reconciled when a slot becomes free or the clone before it has left.
 *
 * Pure: no clock, no network; it knows a policy by its name alone. A member is embedded in its
 * owner's struct per clone. Its strings belong to the owner and must outlive the membership.
 */
#ifndef CLONES_USAGE_H
#define CLONES_USAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum usage_scope {
    USAGE_OF_CLUSTER,
    USAGE_OF_SOURCE,
    USAGE_OF_NAMESPACE,
    USAGE_OF_CLASS,
    USAGE_SCOPES
};

/* A clone is in at most so many queues; when it has left those, the policies judge it again. */
#define WAIT_QUEUES_MAX 16
/* Storage classes of one clone's disks that are counted. */
#define USAGE_CLASSES_MAX 8

struct usage_bucket;
struct wait_queue;

struct clone_usage {
    const char *key; /* "namespace/name"; orders those of one second */
    int64_t created_ms;
    const char *ns, *uid, *source;    /* source: "namespace/name" */
    bool holds;                       /* a slot in each of its places */
    int64_t bytes;                    /* of all its new disks; 0: not known yet */
    char *classes[USAGE_CLASSES_MAX]; /* owned */
    size_t class_count;
    /* Private. */
    size_t in_count, queue_count;
    int64_t reserved; /* of bytes, what no claim stands for yet */
    /* Where it holds slots and waits; most clones have ended and do neither, which is NULL. */
    struct usage_membership *membership;
};

struct usage {
    struct usage_bucket *buckets;
    struct usage_claims *claims;
    size_t held; /* clones that hold a slot */
    /* It is this one's turn: judge it again. */
    void (*wake)(void *arg, struct clone_usage *h);
    void *arg;
};

/* Negative: a is older. Times of objects are whole seconds, so that the key decides now and then.
 */
int usage_compare(const struct clone_usage *a, const struct clone_usage *b);

/* Frees everything that is not a member's; all must have left. */
void usage_release(struct usage *u);
/* Gives up what it holds, leaves every queue, frees its classes. */
void usage_forget(struct usage *u, struct clone_usage *h);

void usage_hold(struct usage *u, struct clone_usage *h);
void usage_drop(struct usage *u, struct clone_usage *h);
/* What is known of its disks by now; copied. */
void usage_describe(struct usage *u, struct clone_usage *h, const char *const *classes,
                    size_t count, int64_t bytes);
/* The claims of the clone uid in ns have grown or shrunk; h: its member, NULL when it is gone. */
void usage_claimed(struct usage *u, const char *ns, const char *uid, int64_t delta,
                   struct clone_usage *h);
/* Something that is not counted here has become free there. */
void usage_freed(struct usage *u, enum usage_scope scope, const char *value);

/* Clones that hold a slot there, h itself not counted. */
int64_t usage_count(const struct usage *u, enum usage_scope scope, const char *value,
                    const struct clone_usage *h);
/* Bytes of cloned disks in the namespace, those promised included, h's own not counted. */
int64_t usage_bytes(const struct usage *u, const char *ns, const struct clone_usage *h);

/* An older one waits for the same limit in the same place. */
bool usage_behind(const struct usage *u, const struct clone_usage *h, const char *policy,
                  const char *rule, enum usage_scope scope, const char *value);
/* A judgement: between begin and end usage_wait names every limit that holds h back; end leaves
   the queues that were not named. */
void usage_begin(struct clone_usage *h);
void usage_wait(struct usage *u, struct clone_usage *h, const char *policy, const char *rule,
                enum usage_scope scope, const char *value);
void usage_end(struct usage *u, struct clone_usage *h);

#endif
