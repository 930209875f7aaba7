#!/usr/bin/env bash
# Cost of permessage-deflate per message in Python's `websockets` and Node's `ws`, with the same text and level as
# `cargo bench --bench deflate`: medians of batches, in microseconds of CPU time.
#
#   deflate_peers.sh [PROCESSOR]    the processor to run on, such as 1
set -euo pipefail
cd "$(dirname "$0")/.."

tests/setup.sh
text=$(mktemp)
trap 'rm -f "$text"' EXIT
cargo run --release --quiet --package ws-benches --bin json >"$text"
bound=()
if [ $# -gt 0 ]; then
    bound=(taskset -c "$1")
fi
"${bound[@]}" tests/.venv/bin/python benches/deflate_peers.py "$text"
NODE_PATH=tests/node_modules "${bound[@]}" node benches/deflate_peers.cjs "$text"
