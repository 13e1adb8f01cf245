/*
 * Calls that have a safer equivalent here. The header is included by force (cmake/Flags.cmake), so
 * using one of them does not compile. The model is git's banned.h.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BANNED(func) sorry_##func##_is_a_banned_function

#undef strcpy
#define strcpy(x, y) BANNED(strcpy)
#undef strcat
#define strcat(x, y) BANNED(strcat)
#undef strncpy
#define strncpy(x, y, n) BANNED(strncpy)
#undef strncat
#define strncat(x, y, n) BANNED(strncat)
#undef strtok
#define strtok(x, y) BANNED(strtok)
#undef sprintf
#undef vsprintf
#define sprintf(...) BANNED(sprintf)
#define vsprintf(...) BANNED(vsprintf)
#undef atoi
#define atoi(x) BANNED(atoi)
#undef gmtime
#define gmtime(t) BANNED(gmtime)
#undef localtime
#define localtime(t) BANNED(localtime)

/* cJSON's plain getter ignores case; Kubernetes field names do not. Its header must come before the
   ban, which would otherwise rename the declaration. */
#include <cjson/cJSON.h>
#define cJSON_GetObjectItem(o, n) BANNED(cJSON_GetObjectItem)

#endif
