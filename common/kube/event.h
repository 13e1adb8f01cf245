/*
 * struct event_recorder: Kubernetes Events (core v1, which `kubectl describe` reads) about objects.
 * What repeats is counted on the same Event instead of filling the list: its name is made from the
 * object's UID, the reason, the type and the message, so that a restarted process goes on counting
 * on the Event of its predecessor (client-go tools/record/events_cache.go does so within one
 * process).
 *
 * Bounded: EVENTS_MAX remembered, the least recently seen forgotten first, EVENTS_WAITING_MAX
 * unsent. An Event that cannot be written is dropped; it is counted, never retried for long.
 */
#ifndef KUBE_EVENT_H
#define KUBE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "kube/client.h"

#define EVENTS_MAX 4096
#define EVENTS_WAITING_MAX 512
/* client-go tools/record/events_cache.go: a burst of 25 per object, then one in 5 min. */
#define EVENTS_BURST 25
#define EVENTS_REFILL_MS 300000
/* validation.go: message at most 1024 bytes, reason at most 128. */
#define EVENT_MESSAGE_MAX 1024

struct event_about {
    const char *api_version, *kind, *ns, *name, *uid;
};

struct event_recorder;

/* client is borrowed. component and host are copied: "source" of each Event. */
struct event_recorder *event_recorder_new(const struct kube_client *client, const char *component,
                                          const char *host);
/* Unsent Events are dropped. NULL does nothing. */
void event_recorder_free(struct event_recorder *r);
/* warning: type Warning, else Normal. reason is a CamelCase word. Everything is copied. */
void event_record(struct event_recorder *r, const struct event_about *about, bool warning,
                  const char *reason, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
uint64_t event_recorder_dropped(const struct event_recorder *r);

/* The deterministic name, "<object>.<16 hex digits>", at most 253 bytes. free(). Pure. */
char *event_name(const struct event_about *about, bool warning, const char *reason,
                 const char *message);

#endif
