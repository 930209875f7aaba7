#!/usr/bin/env bash
# Starts Redis, three nodes and HAProxy on free ports of this machine, checks the guarantees of the README, and stops
# them. As root on Debian it installs missing packages and prints their names.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Descriptor 3 keeps the script's standard error for messages, even after the shell's own is redirected.
exec 3>&2
fail() { printf 'prove: %s\n' "$*" >&3; exit 1; }

missing=()
for tool in redis-server haproxy; do
    command -v "$tool" >/dev/null || [[ -x /usr/sbin/$tool ]] || missing+=("$tool")
done
PATH=$PATH:/usr/sbin
if ((${#missing[@]})); then
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        echo "prove: installing ${missing[*]}"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        fail "${missing[*]} must be installed: apt-get install --no-install-recommends ${missing[*]}"
    fi
fi

cargo build --quiet --locked -p ws-chat-redis
bin=${CARGO_TARGET_DIR:-target}/debug

work=$(mktemp -d)
finish() {
    status=$?
    trap - EXIT
    exec 2>/dev/null
    # The processes of this script that are still running.
    for pid in $(jobs -p); do
        # Redis may still be stopped by SIGSTOP.
        kill -CONT "$pid" 2>/dev/null || true
        kill -KILL "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    ((status == 0)) || tail -n 15 "$work"/*.log >&3 || true
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Prints a port that no program listens on. Another program may take it before it is used. Then the program that needs
# it ends at once and is started again with another port.
free_port() {
    local port
    while port=$((RANDOM % 20000 + 12000)); (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# A short pause between two checks, without starting a process.
mkfifo "$work/never"
exec {never}<>"$work/never"
pause() { read -r -t 0.02 <&"$never" || true; }

# Starts a program that prints a line when it is ready, and sets `pid` and `line`.
start() {
    local name=$1
    shift
    mkfifo "$work/$name.out"
    "$@" >"$work/$name.out" 2>"$work/$name.log" &
    pid=$!
    exec {output}<>"$work/$name.out"
    line=
    read -r -t 30 line <&"$output" || true
}

for attempt in 1 2 3 4 5; do
    redis_port=$(free_port)
    redis-server --bind 127.0.0.1 --port "$redis_port" --save "" --appendonly no --dir "$work" \
        >"$work/redis-$attempt.log" 2>&1 &
    redis_pid=$!
    # Redis logs that it accepts connections, or ends.
    until grep -qs "Ready to accept" "$work/redis-$attempt.log"; do
        kill -0 "$redis_pid" 2>/dev/null || continue 2
        pause
    done
    break
done
[[ ${redis_pid:-} ]] && kill -0 "$redis_pid" 2>/dev/null || fail "redis-server does not start"
redis=redis://127.0.0.1:$redis_port/

nodes=()
for name in node1 node2 node3; do
    start "$name" "$bin/chat_node" --listen 127.0.0.1:0 --redis "$redis" --node "$name" --burst 100000
    [[ $line == http://* ]] || fail "$name does not start"
    address=${line#http://}
    nodes+=("${address%/}" "$pid")
done

for attempt in 1 2 3 4 5; do
    proxy=127.0.0.1:$(free_port)
    LISTEN=$proxy NODE1=${nodes[0]} NODE2=${nodes[2]} NODE3=${nodes[4]} \
        haproxy -db -f examples/chat-redis/haproxy.cfg >"$work/haproxy-$attempt.log" 2>&1 &
    proxy_pid=$!
    # HAProxy listens, or ends.
    until (: <"/dev/tcp/${proxy/://}") 2>/dev/null; do
        kill -0 "$proxy_pid" 2>/dev/null || continue 2
        pause
    done
    break
done
kill -0 "$proxy_pid" 2>/dev/null || fail "haproxy does not start"

# One of the nodes is killed from here on. Suppress the shell's report about it.
exec 2>/dev/null
"$bin/prove" "$proxy" "$redis" "$redis_pid" "${nodes[@]}" 2>&3 &
# Run it in the background, so that signals can end this script meanwhile.
wait $!

# The node that received SIGINT must have ended with status 0.
wait "${nodes[3]}" || fail "the node that was stopped ended with status $?"
echo "prove: all guarantees hold"
