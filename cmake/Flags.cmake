# Warnings are errors everywhere; hardening in release; sanitizers on request.
add_compile_options(
    -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
    -Werror -fno-common -fstack-protector-strong
    -include ${CMAKE_SOURCE_DIR}/common/base/banned.h)
add_compile_definitions(_GNU_SOURCE WUKONG_VERSION="${PROJECT_VERSION}")

if(WUKONG_ASAN OR WUKONG_FUZZ)
    # -O1: the simulator and the cluster cases run several times faster than with -O0, and a report
    # still names the right line.
    add_compile_options(-O1 -fsanitize=address,undefined -fno-sanitize-recover=all
                        -fno-omit-frame-pointer -g)
    add_link_options(-fsanitize=address,undefined)
endif()
if(WUKONG_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
        message(FATAL_ERROR "WUKONG_FUZZ needs clang (preset fuzz)")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(WUKONG_COVERAGE)
    add_compile_options(--coverage -g)
    add_link_options(--coverage)
endif()
# assert() stays on in every build, so NDEBUG is left out of the flags.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_MINSIZEREL "-Os -g")
if(CMAKE_BUILD_TYPE STREQUAL Release AND NOT WUKONG_ASAN AND NOT WUKONG_FUZZ)
    add_compile_options(-D_FORTIFY_SOURCE=3 -fPIE)
    # Indirect jumps land where they may, in each architecture's own way.
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64")
        add_compile_options(-fcf-protection)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64")
        add_compile_options(-mbranch-protection=standard)
    endif()
    add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
