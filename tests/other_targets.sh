#!/usr/bin/env bash
# Runs the tests of ws-core on a 32-bit and on a big-endian target, and builds ws-core without features for a
# microcontroller that has no operating system:
#
#     tests/other_targets.sh [i686|s390x|thumbv7em]...
#
# Needs Debian or a system derived from it, and no rights beyond those to write here: a compiler with the sources of
# the standard library, linkers and an emulator come from the system's packages and are unpacked below
# target/other_targets. They take 1.3 GB there. The results of the builds are deleted when a target has passed. The
# emulator is slow, so this takes up to an hour and is no part of .ci/run. TESTS chooses among the tests, such as
# "--test driver".
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(rustc-web libstd-rust-web-dev rust-web-src
    gcc-i686-linux-gnu libc6-dev-i386-cross
    gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user)

cache=$PWD/target/other_targets
tools=$cache/tools

# Unpacks the packages, and all that they depend on and the system does not have.
if [[ $(cat "$tools/.unpacked" 2>/dev/null) != "${PACKAGES[*]}" ]]; then
    rm -rf "$tools"
    mkdir -p "$cache/packages/partial" "$tools"
    apt-get install --download-only --yes -qq --no-install-recommends \
        -o Debug::NoLocking=true -o Dir::Cache::archives="$cache/packages" "${PACKAGES[@]}"
    for package in "$cache"/packages/*.deb; do
        dpkg -x "$package" "$tools"
    done
    rm -rf "$cache/packages"
    echo "${PACKAGES[*]}" >"$tools/.unpacked"
fi

export PATH=$PATH:$tools/usr/bin
export LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu
# The standard library is built from its sources, which a stable compiler refuses otherwise.
export RUSTC=$tools/usr/bin/rustc RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR=$cache/build CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=false

step() { printf '\n== %s\n' "$*"; }

# test TRIPLE FOLDER RUNNER...: builds and runs the tests; FOLDER below usr has the target's C library.
test_on() {
    local triple=$1 folder=$2
    shift 2
    local name=${triple//-/_}
    export "CARGO_TARGET_${name^^}_LINKER=${triple/-unknown/}-gcc"
    export "CARGO_TARGET_${name^^}_RUNNER=$*"
    # The linker finds the C library below the folder of the tools, not in the system.
    export "CARGO_TARGET_${name^^}_RUSTFLAGS=-Clink-arg=--sysroot=$tools -Clink-arg=-B$tools/usr/$folder/lib"
    # shellcheck disable=SC2086
    cargo test -p ws-core --all-features ${TESTS:---lib --tests} --locked --no-fail-fast \
        -Zbuild-std=std,panic_unwind,test --target "$triple"
    rm -rf "$CARGO_TARGET_DIR"
}

i686() {
    step "tests on 32 bits (i686)"
    local lib=$tools/usr/i686-linux-gnu/lib
    test_on i686-unknown-linux-gnu i686-linux-gnu "$lib/ld-linux.so.2" --library-path "$lib"
}

s390x() {
    step "tests on a big-endian machine (s390x, emulated)"
    # Few cases of each property, because the emulator is slow.
    PROPTEST_CASES=${PROPTEST_CASES:-8} test_on s390x-unknown-linux-gnu s390x-linux-gnu \
        "$tools/usr/bin/qemu-s390x" -L "$tools/usr/s390x-linux-gnu"
}

thumbv7em() {
    step "build without an operating system (thumbv7em)"
    cargo build -p ws-core --no-default-features --locked -Zbuild-std=core,alloc --target thumbv7em-none-eabihf
    rm -rf "$CARGO_TARGET_DIR"
}

targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(thumbv7em i686 s390x)
for target in "${targets[@]}"; do
    case $target in
        i686 | s390x | thumbv7em) "$target" ;;
        *) echo "tests/other_targets.sh: no target is called $target" >&2; exit 2 ;;
    esac
done
