#!/usr/bin/env bash
# Fuzzes the targets one after the other, each for a number of minutes of CPU time:
#
#     fuzz/run.sh [--keep] MINUTES [TARGET...]
#
# New inputs are stored in fuzz/grown, outside the repository. With --keep, inputs with new coverage are added to the
# committed corpus, as few and as short as possible. Exits with 1 if a target has failed. The failing input is then in
# fuzz/artifacts. FUZZ_BINARIES names a folder with targets that are already built.
set -euo pipefail
cd "$(dirname "$0")"

ALL=(header receive_server receive_client split operations handshake_server handshake_client extensions proxy redirect
    utf8 inflate)
# The fuzzer needs some hundred MiB for its inputs. The targets check their own memory.
LIMITS=(-max_len=4096 -rss_limit_mb=2048 -timeout=10)
# Seconds between two checks of the CPU time.
SLICE=${FUZZ_SLICE:-60}

keep=
if [[ ${1-} == --keep ]]; then
    keep=1
    shift
fi
minutes=${1:?usage: fuzz/run.sh [--keep] MINUTES [TARGET...]}
shift
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=("${ALL[@]}")

binaries=${FUZZ_BINARIES-}
if [[ -z $binaries ]]; then
    # The code has no `unsafe` that a sanitizer could check. Without one the fuzzer finds new paths faster.
    cargo +nightly fuzz build --fuzz-dir . --sanitizer none
    binaries=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release
fi

dictionary() {
    case $1 in
        handshake_* | extensions | proxy | redirect) echo "-dict=http.dict" ;;
    esac
}

# Prints the last number that follows a word in libFuzzer's log.
last() { grep -aoE "$1: +[0-9]+" "$2" | tail -n 1 | grep -oE '[0-9]+$' || echo 0; }

# Fuzzes one target in slices until its time is used up, and prints the result.
fuzz() {
    local target=$1 used=0 runs=0 status=0 log
    local budget=$((minutes * 60))
    log=grown/$target.log
    mkdir -p "grown/$target" "artifacts/$target"
    : >"$log"
    while ((used < budget && status == 0)); do
        local left=$((budget - used)) time
        TIMEFORMAT='%U %S'
        # shellcheck disable=SC2046
        time=$( { time "$binaries/$target" "grown/$target" "corpus/$target" "${LIMITS[@]}" $(dictionary "$target") \
            -max_total_time=$((left < SLICE ? left : SLICE)) -print_final_stats=1 \
            -artifact_prefix="artifacts/$target/" >"$log.slice" 2>&1; } 2>&1 ) || status=$?
        used=$((used + $(awk '{ print int($1 + $2 + 1) }' <<<"$time")))
        runs=$((runs + $(last stat::number_of_executed_units "$log.slice")))
        cat "$log.slice" >>"$log"
    done
    rm -f "$log.slice"
    printf '%-17s %12d executions  %5d s of CPU  cov %5d  ft %6d  %5d inputs  %s\n' "$target" "$runs" "$used" \
        "$(last 'cov' "$log")" "$(last 'ft' "$log")" "$(find "grown/$target" -type f | wc -l)" \
        "$( ((status == 0)) && echo ok || echo "FAILED: $log")"
    return "$status"
}

# Replaces the committed corpus of a target by few inputs that cover the same edges as all inputs found. Inputs with a
# hyphen in their name were added by hand and stay.
keep() {
    local target=$1
    local merged=grown/$target.merged
    rm -rf "$merged"
    mkdir -p "$merged"
    "$binaries/$target" -set_cover_merge=1 -use_counters=0 "${LIMITS[@]}" "$merged" "corpus/$target" "grown/$target" \
        >>"grown/$target.log" 2>&1
    find "corpus/$target" -name '*-*' -exec cp {} "$merged/" \;
    rm -rf "corpus/$target"
    mv "$merged" "corpus/$target"
    echo "$target: $(find "corpus/$target" -type f | wc -l) inputs, $(du -bs "corpus/$target" | cut -f1) bytes kept"
}

mkdir -p grown artifacts
failed=
for target in "${targets[@]}"; do
    if fuzz "$target"; then
        [[ -z $keep ]] || keep "$target"
    else
        failed=1
    fi
done
[[ -z $failed ]]
