#include "wukong/cut.h"

const char *const consistency_names[CONSISTENCIES] = {
    [CONSISTENCY_FILESYSTEM] = "FilesystemConsistent",
    [CONSISTENCY_CRASH] = "CrashConsistent",
    [CONSISTENCY_CRASH_PER_DISK] = "CrashConsistentPerDisk",
    [CONSISTENCY_OFFLINE] = "Offline",
};
