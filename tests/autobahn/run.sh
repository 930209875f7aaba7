#!/usr/bin/env bash
# Tests the adapters against the Autobahn testsuite, as servers and as clients. Installs the suite first if necessary.
#
#   run.sh [ADAPTER...]    std by default
#
#   AUTOBAHN_HOME          folder of the suite. Default: in the target directory
#   AUTOBAHN_DEFLATE       any value: include the cases of permessage-deflate, which take minutes
#   AUTOBAHN_SUMMARY       any value: run all cases, and update SUMMARY.md if all have passed
#   AUTOBAHN_JOBS          number of parts that run at once. Default: 4
#   AUTOBAHN_PYTHON27      see setup.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$(cargo metadata --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
home=${AUTOBAHN_HOME:-$target/autobahn}
tests/autobahn/setup.sh "$home"

titles=()
for adapter in "${@:-std}"; do
    case $adapter in
        std) prefix= ;;
        *) prefix=${adapter}_ ;;
    esac
    cargo build --release --quiet --package "ws-$adapter" \
        --example "${prefix}echo_server" --example "${prefix}autobahn_client"
    python3 tests/autobahn/suite.py "$home" \
        "$target/release/examples/${prefix}echo_server" "$target/release/examples/${prefix}autobahn_client"
    titles+=("\`ws-$adapter\`, server=${prefix}echo_server" "\`ws-$adapter\`, client=${prefix}autobahn_client")
done

if [ -n "${AUTOBAHN_SUMMARY:-}" ]; then
    python3 tests/autobahn/suite.py "$home" --summary "${titles[@]}" >"$home/SUMMARY.md"
    cp "$home/SUMMARY.md" tests/autobahn/SUMMARY.md
fi
