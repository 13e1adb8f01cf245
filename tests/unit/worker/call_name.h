/* The name of a call, to be compared with what a person would read. */
#ifndef CALL_NAME_H
#define CALL_NAME_H

#include "observe/call_key.h"

/* Lives until the next call. */
static inline const char *call_name(const struct call_key *k)
{
    static char text[512];
    CLEANUP_BUF struct buf name = BUF_INIT(sizeof text);
    call_key_print(k, &name);
    (void)snprintf(text, sizeof text, "%s", name.len ? name.data : "");
    return text;
}

#endif
