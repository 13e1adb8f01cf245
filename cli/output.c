#include "cli/output.h"

#include <stdio.h>

#include "base/str.h"
#include "yaml/emit.h"

/* A list of all Wukongs of a cluster. */
#define OUTPUT_BYTES (512u * MIB)

const char *const output_formats[2] = {"json", "yaml"};

void output_print(const cJSON *tree, const char *format)
{
    if (str_eq(format, "yaml")) {
        CLEANUP_BUF struct buf text = BUF_INIT(OUTPUT_BYTES);
        yaml_emit(tree, &text);
        (void)fputs(text.data, stdout);
        return;
    }
    char *json = cJSON_Print(tree);
    (void)puts(json ? json : "");
    cJSON_free(json);
}
