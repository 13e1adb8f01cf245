/*
 * Any status of a Wukong, as whoever may write it has left it, read as the record that the worker
 * goes by. Beyond not crashing: what is read is within its ranges.
 */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "json/json.h"
#include "observe/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_ARENA struct arena a;
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    arena_init_soft(&a, 16 * MIB);
    if (json_read((const char *)data, size, &tree, &err) < 0)
        return 0;
    struct clone_record r = record_read(&a, tree);
    assert(r.phase >= 0 && r.phase < CLONE_PHASES);
    assert(r.attempt.consistency >= 0 && r.attempts >= 0);
    (void)record_owes_thaw(&r);
    (void)record_begun(&r);
    return 0;
}
