/* gRPC's codes (google/rpc/code.proto), as the CSI specification uses them. */
#include "observe/driver_answer.h"

#include <string.h>

#include "base/mem.h"

static const struct {
    const char *code;
    enum driver_answer answer;
    bool cannot;
} codes[] = {
    {"Canceled", DRIVER_GOES_ON, false},
    {"Unknown", DRIVER_GOES_ON, false},
    {"InvalidArgument", DRIVER_SETTLED, true},
    {"DeadlineExceeded", DRIVER_GOES_ON, false},
    {"NotFound", DRIVER_SETTLED, false},
    /* The name is taken by a volume of other properties. */
    {"AlreadyExists", DRIVER_SETTLED, false},
    /* Credentials and quotas of the storage can be mended meanwhile. */
    {"PermissionDenied", DRIVER_GOES_ON, false},
    {"ResourceExhausted", DRIVER_GOES_ON, false},
    {"FailedPrecondition", DRIVER_GOES_ON, false},
    {"Aborted", DRIVER_GOES_ON, false},
    {"OutOfRange", DRIVER_SETTLED, false},
    {"Unimplemented", DRIVER_SETTLED, true},
    {"Internal", DRIVER_GOES_ON, false},
    {"Unavailable", DRIVER_GOES_ON, false},
    {"DataLoss", DRIVER_SETTLED, false},
    {"Unauthenticated", DRIVER_GOES_ON, false},
};

#define CODE "code = "

/* The first code is the driver's own answer; what it got from others may stand behind it. */
static size_t row_of(const char *text)
{
    const char *code = text ? strstr(text, CODE) : NULL;
    code = code ? code + sizeof CODE - 1 : "";
    size_t len = strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    size_t i = 0;
    while (i < ARRAY_LEN(codes) &&
           !(len == strlen(codes[i].code) && memcmp(code, codes[i].code, len) == 0))
        i++;
    return i;
}

enum driver_answer driver_answer(const char *text)
{
    size_t row = row_of(text);
    if (row < ARRAY_LEN(codes))
        return codes[row].answer;
    /* The API server's, which the sidecar tries again (seen on external-provisioner v6.3). */
    return text && strstr(text, "has been modified") ? DRIVER_GOES_ON : DRIVER_UNKNOWN;
}

bool driver_cannot(const char *text)
{
    size_t row = row_of(text);
    return row < ARRAY_LEN(codes) && codes[row].cannot;
}
