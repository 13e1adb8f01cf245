/*
 * Proves what the worker takes an error of a CSI driver for: the driver's own code decides, as
 * external-provisioner and csi-snapshotter pass it on, and a text without a code decides nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "observe/driver_answer.h"

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum driver_answer answer;
        bool cannot;
    } rows[] = {
        {NULL, DRIVER_UNKNOWN, false},
        {"", DRIVER_UNKNOWN, false},
        {"requested volume size is less than the size for the source snapshot", DRIVER_UNKNOWN,
         false},
        {"rpc error: code = ", DRIVER_UNKNOWN, false},
        {"rpc error: code = InvalidArgumentation desc = x", DRIVER_UNKNOWN, false},
        {"failed to provision volume with StorageClass \"fast\": rpc error: code = "
         "DeadlineExceeded desc = context deadline exceeded",
         DRIVER_GOES_ON, false},
        {"rpc error: code = Aborted desc = an operation with the given Volume ID x already exists",
         DRIVER_GOES_ON, false},
        {"rpc error: code = ResourceExhausted desc = not enough space", DRIVER_GOES_ON, false},
        {"rpc error: code = InvalidArgument desc = source is too large", DRIVER_SETTLED, true},
        {"rpc error: code = Unimplemented desc =", DRIVER_SETTLED, true},
        {"rpc error: code = NotFound desc = snapshot id does not exist", DRIVER_SETTLED, false},
        {"rpc error: code = OutOfRange", DRIVER_SETTLED, false},
        /* The driver's own answer, not that of what it asked. */
        {"rpc error: code = Internal desc = rpc error: code = NotFound desc = no pool",
         DRIVER_GOES_ON, false},
        {"Operation cannot be fulfilled on persistentvolumeclaims \"a\": the object has been "
         "modified; please apply your changes to the latest version and try again",
         DRIVER_GOES_ON, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (driver_answer(rows[i].text) != rows[i].answer ||
            driver_cannot(rows[i].text) != rows[i].cannot)
            fail_msg("%s: %d, cannot %d", str_or(rows[i].text, "NULL"),
                     (int)driver_answer(rows[i].text), driver_cannot(rows[i].text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
