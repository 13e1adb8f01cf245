/*
 * struct list_splitter: cuts a Kubernetes list into its items while it streams in, so that memory
 * and limits are those of one item and not of the list. Pure. It follows strings and nesting only;
 * what it cuts out is parsed strictly by whoever receives it. The order of members does not matter.
 */
#ifndef KUBE_LIST_SPLITTER_H
#define KUBE_LIST_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum split_state {
    SPLIT_START,  /* before the list's { */
    SPLIT_KEY,    /* before a member's name, or the list's } */
    SPLIT_IN_KEY, /* within it */
    SPLIT_COLON,
    SPLIT_VALUE,    /* before a member's value */
    SPLIT_IN_VALUE, /* within a value that is skipped or is the metadata */
    SPLIT_COMMA,    /* after a member */
    SPLIT_ITEM,     /* within items, before an item */
    SPLIT_IN_ITEM,
    SPLIT_ITEM_COMMA,
    SPLIT_DONE,
};

struct list_splitter {
    enum split_state state;
    bool in_string, escaped, keep, may_close;
    bool seen_items, seen_metadata;
    unsigned depth;
    char key[16];
    size_t key_len;
    size_t item_max;
    struct buf item, metadata;
    uint64_t items;
};

/* The list's own metadata, once it has all been read. NULL when absent. */
struct list_meta {
    char *resource_version;
    char *continue_token;
};
void list_meta_release(struct list_meta *m);
#define CLEANUP_LIST_META __attribute__((cleanup(list_meta_release)))

/* item_max: bytes of one item, at most LIMIT_OBJECT_BYTES in production. */
void list_splitter_init(struct list_splitter *s, size_t item_max);
void list_splitter_release(struct list_splitter *s);
/* Begins a new list. */
void list_splitter_reset(struct list_splitter *s);
/* Calls item for each item completed by these bytes; NUL-terminated, borrowed for the call. One
   that is longer than item_max comes cut at that length. Its own failure (-1, err filled) ends it.
   ERR_INVALID: not a list; ERR_LIMIT: the list's metadata. */
WUKONG_CHECK int list_splitter_feed(struct list_splitter *s, const char *bytes, size_t n,
                                    int (*item)(void *arg, const char *json, size_t n,
                                                struct err *err),
                                    void *arg, struct err *err);
/* ERR_INVALID when the list was cut or had no metadata. */
WUKONG_CHECK int list_splitter_end(struct list_splitter *s, struct list_meta *ret, struct err *err);

#endif
