#!/usr/bin/env bash
# Checks that the core's work is linear: counts the instructions for inputs of a size and of eight times that size, as
# whole messages, as messages and heads that arrive byte by byte, and in fragments of a byte. The larger input may
# need at most nine times as many instructions, apart from the constant part. Needs valgrind, whose counts do not
# depend on the load of the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || { echo "tests/linear_work.sh: valgrind is not installed" >&2; exit 1; }
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
