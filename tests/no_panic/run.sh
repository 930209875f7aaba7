#!/usr/bin/env bash
# Links the core's input path into a program and checks that it cannot panic.
set -euo pipefail
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-../../target}/no-panic
cargo build --quiet --release --locked --target-dir "$target"
objdump -d --no-show-raw-insn "$target/release/ws-no-panic" | python3 check.py
