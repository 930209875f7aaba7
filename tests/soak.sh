#!/usr/bin/env bash
# Soak test: loads the echo servers of both adapters and reports lost messages and leaks. tests/soak.sh [MINUTES]
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-20}
cargo build --quiet --release -p ws-std -p ws-smol --examples
cargo build --quiet --release -p ws-tests --bin soak
bin=${CARGO_TARGET_DIR:-target}/release
for server in echo_server smol_echo_server; do
    echo "== $server, $minutes minutes"
    "$bin/soak" "$bin/examples/$server" --minutes "$minutes"
done
