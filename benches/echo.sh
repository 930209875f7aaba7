#!/usr/bin/env bash
# What an echo costs the servers, beside the raw floor of each, in turns: benches/echo.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} seconds=${2:-2}
cargo build --quiet --release -p ws-benches --bins
cargo build --quiet --release -p ws-std -p ws-smol --examples
bin=${CARGO_TARGET_DIR:-target}/release

# measure SERVER -- LOAD OPTIONS: the generator's line
measure() {
    local server=$1 out pid
    shift
    out=$(mktemp)
    case $server in
        raw_*) taskset -c 0 "$bin/$server" >"$out" & ;;
        *) taskset -c 0 "$bin/examples/$server" --listen 127.0.0.1:0 >"$out" & ;;
    esac
    pid=$!
    until grep -q listening "$out"; do read -rt 0.05 <> <(:) || :; done
    taskset -c 1 "$bin/load" --pid "$pid" --url "$(grep -o '[a-z]*://[^ ]*' "$out")" "$@"
    kill "$pid"
    wait "$pid" 2>"$out" || :
    rm -f "$out"
}

compare() {
    local round server
    echo "## $*"
    for ((round = 0; round < rounds; round++)); do
        for server in "${servers[@]}"; do
            printf '%-16s ' "$server"
            measure "$server" "$@"
        done
    done | sort | awk '{ n[$1]++; v[$1, n[$1]] = $4 }
        END { for (s in n) { m = 0; c = n[s]
            for (i = 1; i <= c; i++) a[i] = v[s, i]
            for (i = 1; i <= c; i++) for (j = i + 1; j <= c; j++) if (a[j] < a[i]) { t = a[i]; a[i] = a[j]; a[j] = t }
            printf "%-16s %8.3f us of server CPU per message (median of %d)\n", s, a[int((c + 1) / 2)], c } }'
}

servers=(raw_smol_echo smol_echo_server)
compare --connections 100 --payload 20 --depth 1 --seconds "$seconds"
compare --connections 10 --payload 20 --depth 16 --seconds "$seconds"
servers=(raw_std_echo echo_server)
compare --connections 8 --payload 20 --depth 1 --seconds "$seconds"
compare --connections 8 --payload 20 --depth 16 --seconds "$seconds"
echo "## idle"
for server in smol_echo_server:5000 echo_server:1000; do
    printf '%-16s ' "${server%:*}"
    measure "${server%:*}" --idle "${server#*:}"
done
