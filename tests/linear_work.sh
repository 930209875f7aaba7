#!/usr/bin/env bash
# Counts the instructions that the core needs for inputs of a size and of eight times that size, as messages and
# heads that come byte by byte, and in fragments of a byte: eight times as many, give or take what does not depend
# on the size. Needs valgrind, whose counts are the same on every run and every machine that is as busy as it
# likes.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || { echo "tests/linear_work.sh: valgrind is needed and not installed" >&2; exit 1; }
program=$(cargo test --package ws-core --test linear --no-run --message-format=json 2>/dev/null |
    python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "linear":
        print(message["executable"])')

# instructions SCENARIO SIZE
instructions() {
    SCENARIO=$1 SIZE=$2 valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$program" --ignored --exact one_scenario_of_one_size --test-threads=1 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

failed=0
for scenario in whole_text bytes_of_text bytes_of_binary fragments_of_text fragments_of_binary \
    bytes_of_chunks request response; do
    nothing=$(instructions $scenario 64)
    small=$(instructions $scenario 4096)
    large=$(instructions $scenario 32768)
    ratio=$(((large - nothing) * 100 / (small - nothing)))
    echo "$scenario: $small instructions for 4 KiB, $large for 32 KiB, beside $nothing: $ratio/100 times as many"
    [ "$ratio" -le 900 ] || failed=1
done
exit $failed
