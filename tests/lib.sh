# Shell functions that tests/demo and tests/run share: what is missing, where things are cached.
# To be sourced by bash or sh; sets nothing but functions.

# The folder of everything that is built once (same rule as tests/cluster/bedlib/parts.py).
wk_cache() {
    printf '%s\n' "${WUKONG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wukong-clone}"
}

wk_say() { printf '%s\n' "$*" >&2; }

wk_die() {
    wk_say "$*"
    exit 1
}

# wk_supervised "$0" "$@": goes on below a supervisor, so that an interrupt leaves nothing behind.
wk_supervised() {
    [ "${WUKONG_SUPERVISED:-}" != "$PPID" ] || return 0
    command -v python3 >/dev/null || wk_die "Missing tools, please install: python3 3.9 or newer"
    exec python3 -B tests/supervise.py "$@"
}

# wk_packages_of WHAT: the Debian packages that building or testing WHAT needs.
wk_packages_of() {
    case $1 in
    build) echo "gcc cmake ninja-build pkg-config libmicrohttpd-dev libcurl4-openssl-dev libcjson-dev" \
        "libyaml-dev libssl-dev zlib1g-dev uthash-dev libcmocka-dev" ;;
    bed) echo "openssl" ;;
    tidy) echo "clang-format-14" ;;
    analysis) echo "clang-tidy-14 cppcheck" ;;
    guest) echo "qemu-system-x86 seabios mmdebstrap" ;;
    node) echo "runc containerd containernetworking-plugins iptables iproute2 procps libc6-dev binutils dpkg-dev" ;;
    release) echo "binutils dpkg-dev tzdata ca-certificates" ;;
    coverage) echo "lcov" ;;
    lint) echo "clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev cppcheck valgrind lcov" ;;
    *) wk_die "wk_packages_of: nothing known as $1" ;;
    esac
}

# wk_missing_packages PACKAGE…: those that are not installed.
wk_missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            printf '%s ' "$package"
    done
}

# wk_need_packages WHAT…: installs what is missing when we may, otherwise names it and fails.
wk_need_packages() {
    local what wanted="" missing
    for what in "$@"; do
        wanted="$wanted $(wk_packages_of "$what")"
    done
    command -v dpkg-query >/dev/null ||
        wk_die "This is not Debian: please install the equivalents of:$wanted"
    # shellcheck disable=SC2086
    missing=$(wk_missing_packages $wanted)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || [ -n "${WUKONG_NO_INSTALL:-}" ]; then
        wk_say "Missing Debian packages. Please run:"
        wk_die "    sudo apt-get install $missing"
    fi
    wk_say "Installing: $missing"
    # shellcheck disable=SC2086
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing; } >/dev/null; then
        wk_die "apt-get could not install: $missing"
    fi
}

# wk_offered WHAT…: false, and a word, when this Debian offers not all of the packages (it has other versions of clang).
wk_offered() {
    local what package
    for what in "$@"; do
        for package in $(wk_packages_of "$what"); do
            [ -n "$(wk_missing_packages "$package")" ] || continue
            apt-cache show "$package" >/dev/null 2>&1 || {
                wk_say "LEFT OUT: $what ($package is not in this Debian)"
                return 1
            }
        done
    done
}

# wk_at_least VERSION MINIMUM: true when VERSION, like 1.26.3, is not older than MINIMUM.
wk_at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# wk_need_tools: Go, npm and Python, which the bed is built with and runs on. These are not
# installed for you: Debian's Go is too old, and everybody has a way of their own.
wk_need_tools() {
    local bad="" version
    if command -v go >/dev/null; then
        version=$(go env GOVERSION 2>/dev/null)
        version=${version#go}
        wk_at_least "$version" 1.26 || bad="$bad\n    go 1.26 or newer (found $version)"
    else
        bad="$bad\n    go 1.26 or newer"
    fi
    command -v npm >/dev/null || bad="$bad\n    npm (any version since 9)"
    if command -v python3 >/dev/null; then
        version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        wk_at_least "$version" 3.9 || bad="$bad\n    python3 3.9 or newer (found $version)"
    else
        bad="$bad\n    python3 3.9 or newer"
    fi
    [ -z "$bad" ] || wk_die "$(printf 'Missing tools, please install:%b' "$bad")"
}

# wk_timed LABEL COMMAND…: runs it, prints how long it took, returns its status.
wk_timed() {
    local label=$1 began status=0
    shift
    began=$(date +%s)
    "$@" || status=$?
    wk_say "$(printf '%-28s %4d s%s' "$label" "$(($(date +%s) - began))" \
        "$([ "$status" = 0 ] || echo "  (failed: $status)")")"
    return "$status"
}
