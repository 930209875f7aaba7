#!/usr/bin/env bash
# Starts Redis, three nodes and HAProxy on free ports of this machine, shows that they keep what the README
# promises, and ends them. As root on a Debian it installs what is missing, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

# Messages go to where the errors of this script go, even after those of the shell are sent away.
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
    # Those of this script, as far as they have not ended.
    for pid in $(jobs -p); do
        # Redis may have been left stopped.
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

# A port that nobody listens on. Another program may take it before it is used; then what needs it ends at
# once, and is started with the next one.
free_port() {
    local port
    while port=$((RANDOM % 20000 + 12000)); (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# A moment between two looks, without a process of its own.
mkfifo "$work/never"
exec {never}<>"$work/never"
pause() { read -r -t 0.02 <&"$never" || true; }

# Starts a program whose first line of output tells that it is ready, and sets `pid` and `line`.
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
    # It says so when it accepts connections, or ends.
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
        haproxy -db -f chat-redis/haproxy.cfg >"$work/haproxy-$attempt.log" 2>&1 &
    proxy_pid=$!
    # It listens, or ends.
    until (: <"/dev/tcp/${proxy/://}") 2>/dev/null; do
        kill -0 "$proxy_pid" 2>/dev/null || continue 2
        pause
    done
    break
done
kill -0 "$proxy_pid" 2>/dev/null || fail "haproxy does not start"

# From here on one of the nodes is killed, which the shell would tell of.
exec 2>/dev/null
"$bin/prove" "$proxy" "$redis" "$redis_pid" "${nodes[@]}" 2>&3 &
# In the background, so that this script can be ended meanwhile.
wait $!

# The node that was told to stop has done so of its own accord.
wait "${nodes[3]}" || fail "the node that was stopped ended with status $?"
echo "prove: all holds"
