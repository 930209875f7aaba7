#!/usr/bin/env bash
# Line coverage of ws-core by its own tests, by file, with the lines that are not covered. Fails below 95 %. Needs
# cargo-tarpaulin. The test kit is excluded, because it is itself made for tests.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp)
trap 'rm -f "$out" "$out.log"' EXIT
cargo tarpaulin -p ws-core --features deflate,testing --engine llvm --tests --skip-clean \
    --target-dir "${CARGO_TARGET_DIR:-target}/coverage" --timeout 600 --out Stdout >"$out" 2>"$out.log" || { cat "$out.log" >&2; exit 1; }
grep -E '^\|\| ws-core/src/' "$out" | grep -v src/testing/ | awk '
    $3 ~ "/" { split($3, lines, "/"); run += lines[1]; all += lines[2] }
    { print substr($0, 4) }
    END { printf "%d of %d lines: %.1f %%\n", run, all, 100 * run / all; exit run < 0.95 * all }'
