/*
 * The reader of one YAML stream: libyaml's parser, its current event, and what is known so far.
 * reader.c steps and fails, anchors.c keeps what anchors name, yaml.c makes the trees. Nobody else
 * includes this.
 */
#ifndef YAML_READER_H
#define YAML_READER_H

#include <uthash.h>
#include <yaml.h>

#include "yaml/source_map.h"
#include "yaml/yaml.h"

struct anchor {
    char *name;
    const cJSON *node; /* in the document's tree, which outlives the anchor; NULL while open */
    UT_hash_handle hh;
};

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    struct source_map *places;
    struct anchor *anchors; /* by name */
    size_t nodes;           /* of the whole stream */
    size_t max_nodes;
    cJSON *graveyard; /* nodes that a merge replaced: anchors may still name them */
    struct yaml_mark error_mark;
    struct err *err;
};

static inline struct yaml_mark reader_mark(const yaml_mark_t *m)
{
    return (struct yaml_mark){(unsigned)m->line + 1, (unsigned)m->column + 1};
}

/* To the next event. */
WUKONG_CHECK int reader_next(struct reader *r);
/* Always -1; the place becomes error_mark and the beginning of the message. */
int reader_fail(struct reader *r, struct yaml_mark at, enum err_kind kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* One more value; ERR_LIMIT beyond max_nodes. */
WUKONG_CHECK int reader_count(struct reader *r, struct yaml_mark at);

/* --- anchors.c --- */

/* The anchor, so that the node can be filled in when it is complete. */
struct anchor *anchor_open(struct reader *r, const char *name);
void anchors_clear(struct reader *r);
/* The alias that is the current event, as a copy of what its anchor names. */
WUKONG_CHECK int anchor_read_alias(struct reader *r, size_t depth, cJSON **ret);
/* Copies places of a copied tree; the root stands where the alias stands. */
WUKONG_CHECK int anchor_copy_places(struct reader *r, const cJSON *from, const cJSON *to,
                                    struct yaml_mark at, size_t depth);

#endif
