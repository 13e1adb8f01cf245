/* Objects and lists as -o json and -o yaml print them. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <cjson/cJSON.h>

/* The values of -o that cli_print_tree knows. */
extern const char *const output_formats[2];

/* format: one of output_formats. To stdout, with a line end. */
void output_print(const cJSON *tree, const char *format);

#endif
