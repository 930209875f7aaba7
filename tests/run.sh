#!/usr/bin/env bash
# Runs all tests, after installing the foreign peers below this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/setup.sh
cargo test --workspace --doc --quiet
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace
else
    cargo test --workspace --lib --bins --tests
fi
