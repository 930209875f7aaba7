#!/usr/bin/env bash
# Links the core's way of received bytes into a program and shows that no panic can be reached from it.
set -euo pipefail
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-../../target}/no-panic
cargo build --quiet --release --locked --target-dir "$target"
objdump -d --no-show-raw-insn "$target/release/ws-no-panic" | python3 check.py
