/* What every cmocka program includes, in the order that cmocka asks for. */
#ifndef TEST_H
#define TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"

/* Fails with the row's own line when the condition does not hold. */
#define CHECK_ROW(row, condition)                                                                  \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("row at line %d: %s", (row)->line, #condition);                               \
    } while (0)

#endif
