#!/usr/bin/env python3
"""Compares WebSocket servers with each other and with raw servers that have no protocol.

Each server runs alone on one processor, and the load generator (`src/bin/load`) on another. A round measures
all servers of a scenario in turn. The tables show medians over the rounds. Any echo server can take part:

    benches/compare.py --server 'uWebSockets=./echo {port}'
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

sys.dont_write_bytecode = True

import compare_chart  # noqa: E402
import compare_report  # noqa: E402
from compare_run import (  # noqa: E402
    Bench, Failure, Result, Scenario, Server, allow_descriptors, find_tracer, measure, processors,
)

LISTEN = "--listen {listen}"

SERVERS = [
    Server("raw epoll", f"raw_epoll {LISTEN}", "raw",
           broadcast=f"raw_epoll {LISTEN} --broadcast --unit {{unit}}"),
    Server("raw smol", f"raw_smol {LISTEN}", "raw"),
    Server("raw threads", f"raw_blocking {LISTEN}", "raw", blocking=True),

    Server("ws-core event_loop", f"event_loop {LISTEN}", "ours",
           broadcast=f"event_loop {LISTEN} --broadcast"),
    Server("ws-smol", f"examples/smol_echo_server {LISTEN}", "ours", broadcast=f"examples/smol_broadcast {LISTEN}"),
    Server("ws-std", f"examples/echo_server {LISTEN}", "ours", blocking=True),
    # The programs in `examples/tokio`.
    Server("ws-core on tokio", f"tokio_server {LISTEN}", "ours"),
    Server("ws-smol on tokio", f"tokio_ws_smol {LISTEN}", "ours"),
    Server("ws-smol on tokio, spawned", f"tokio_ws_smol {LISTEN} --spawn", "ours"),

    # "Fed" servers write the replies to all messages of a read together, as ours do.
    Server("tungstenite", f"tungstenite {LISTEN}", blocking=True),
    Server("tokio-tungstenite", f"tokio_tungstenite {LISTEN}",
           broadcast=f"tokio_tungstenite {LISTEN} --broadcast"),
    Server("tokio-tungstenite, fed", f"tokio_tungstenite {LISTEN} --feed"),
    Server("async-tungstenite", f"async_tungstenite {LISTEN}"),
    Server("async-tungstenite, fed", f"async_tungstenite {LISTEN} --feed"),
    Server("fastwebsockets", f"fastwebsockets {LISTEN}", broadcast=f"fastwebsockets {LISTEN} --broadcast"),
    Server("tokio-websockets", f"tokio_websockets {LISTEN}"),
    Server("tokio-websockets, fed", f"tokio_websockets {LISTEN} --feed"),
    Server("yawc", f"yawc {LISTEN}"),
    Server("yawc, fed", f"yawc {LISTEN} --feed"),
    Server("soketto", f"soketto {LISTEN}"),
    Server("soketto, fed", f"soketto {LISTEN} --feed"),
    Server("nexus-web", f"nexus_web {LISTEN}", blocking=True),
    Server("nexus-web, fed", f"nexus_web {LISTEN} --feed", blocking=True),
    Server("sockudo-ws", f"sockudo_ws {LISTEN}"),
    Server("sockudo-ws, fed", f"sockudo_ws {LISTEN} --feed"),
]

BINARY_1M = "--connections 1 --payload 1048576"
BROADCAST = "--mode broadcast --connections 1000 --payload 1024"

SCENARIOS = [
    Scenario("echo-100", "20 B, one in flight on each of 100 connections", "--connections 100", "loops"),
    Scenario("echo-8", "20 B, one in flight on each of 8 connections, a thread for each", "--connections 8",
             "threads", raw="raw threads"),
    Scenario("pipeline-10", "20 B, 16 in flight on each of 10 connections", "--connections 10 --depth 16", "loops"),
    Scenario("pipeline-8", "20 B, 16 in flight on each of 8 connections, a thread for each",
             "--connections 8 --depth 16", "threads", raw="raw threads"),
    Scenario("16K", "16 KiB binary on 500 connections", "--connections 500 --payload 16384", "loops"),
    Scenario("64K", "64 KiB binary on 10 connections", "--connections 10 --payload 65536", "all"),
    Scenario("1M-binary", "1 MiB binary on one connection", BINARY_1M, "all"),
    Scenario("1M-text", "1 MiB of ASCII text on one connection", f"{BINARY_1M} --text ascii", "all"),
    Scenario("1M-mixed", "1 MiB of text in mixed scripts on one connection", f"{BINARY_1M} --text mixed", "all"),
    Scenario("idle", "10,000 idle connections", "--mode idle --connections 10000", "loops"),
    Scenario("idle-threads", "1,000 idle connections, a thread for each", "--mode idle --connections 1000",
             "threads", raw="raw threads"),
    Scenario("broadcast", "1 KiB of one to 1,000", BROADCAST, "broadcast"),
    Scenario("handshake", "opening and closing, 64 at a time", "--mode handshake --connections 64", "all"),
]

# After this number of failures in a scenario, a server is left out of the remaining rounds.
TRIES = 2

# Scenarios of the chart.
CHART = ["echo-100", "pipeline-10", "16K", "1M-text"]
# Scenarios of the summary and their names there.
SUMMARY = {
    "echo-100": "100 × 20 B", "pipeline-10": "10 × 16 × 20 B", "16K": "500 × 16 KiB", "64K": "10 × 64 KiB",
    "1M-text": "1 MiB text", "broadcast": "1 KiB to 1,000", "handshake": "opening", "idle": "10,000 idle",
}
# The rows and columns of the README's table.
README_SERVERS = ["ws-core event_loop", "ws-smol", "fastwebsockets", "sockudo-ws, fed", "tokio-tungstenite, fed"]
README_SCENARIOS = ["echo-100", "pipeline-10", "64K", "1M-text", "idle"]

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benches"


def main() -> int:
    options = parse()
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in options.only]
    servers = [server for server in SERVERS if not options.among or server.name in options.among]
    servers += options.server
    if options.results:
        results = compare_report.restore(json.loads(options.results.read_text()))
    else:
        results = run(options, scenarios, servers)
    tables = [compare_report.table(scenario, servers, results.get(scenario.name, {})) for scenario in scenarios]
    print("\n".join(tables))
    if options.publish:
        publish(servers, results, tables)
    if options.out:
        options.out.write_text(json.dumps(compare_report.save(results, machine()), indent=1) + "\n")
    if options.table:
        options.table.write_text(compare_report.summary(scenarios, servers, results))
    if options.chart:
        options.chart.write_text(chart(servers, results))
    failures = [result for found in results.values() for result in found.values() if result.errors]
    return 1 if failures else 0


def chart(servers: list[Server], results: compare_report.Results) -> str:
    return compare_chart.draw([scenario for scenario in SCENARIOS if scenario.name in CHART], servers, results)


def publish(servers: list[Server], results: compare_report.Results, tables: list[str]) -> None:
    """Writes the chart, all tables, and the table between the two marks in the README."""
    (FOLDER / "comparison.svg").write_text(chart(servers, results))
    what = machine()
    head = f"# Servers compared\n\nBy `benches/compare.py --publish`, on {what['processors']} processors of " \
        f"{what['processor']}, Linux {what['kernel']}. The columns are explained in [README.md](README.md).\n"
    unblocking = [server for server in servers if not server.blocking]
    overview = "### summary\n\nCPU time of the server per message, in microseconds, and its ratio to `raw epoll`. The " \
        "column of idle connections contains resident memory per connection.\n\n" \
        f"{summary(SUMMARY, unblocking, results)}\n"
    (FOLDER / "COMPARISON.md").write_text("\n".join([head, overview, *tables]))
    shown = [server for name in README_SERVERS for server in servers if server.name == name]
    table = summary(README_SCENARIOS, shown, results)
    readme = ROOT / "README.md"
    before, begin, rest = readme.read_text().partition("<!-- comparison -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    if not end:
        raise SystemExit("README.md has no marks for the table")
    readme.write_text(f"{before}{begin}\n{table}\n{end}{after}")


def summary(names: Iterable[str], servers: list[Server], results: compare_report.Results) -> str:
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in names]
    renamed = {SUMMARY[scenario.name]: results.get(scenario.name, {}) for scenario in scenarios}
    shown = [replace(scenario, name=SUMMARY[scenario.name]) for scenario in scenarios]
    return compare_report.summary(shown, servers, renamed)


def run(options: argparse.Namespace, scenarios: list[Scenario], servers: list[Server]) -> compare_report.Results:
    folders = [folder / "release" for folder in target_folders()]
    if options.build:
        build()
    allow_descriptors()
    server_cpu, load_cpu = processors()
    bench = Bench(folders, server_cpu, load_cpu, find_tracer())
    servers = present(bench, servers)
    results: compare_report.Results = {}
    for scenario in scenarios:
        taking_part = [server for server in servers if scenario.includes(server)]
        found = results[scenario.name] = {server.name: Result() for server in taking_part}
        for round in range(1, options.rounds + 1):
            for server in taking_part:
                result = found[server.name]
                if len(result.errors) >= TRIES:
                    continue
                progress(f"{scenario.name}, round {round} of {options.rounds}: {server.name}")
                try:
                    measure(bench, scenario, server, result, options.seconds)
                except Failure as failure:
                    result.errors.append(str(failure))
                    progress()
                    say(f"{scenario.name}, {server.name}: {failure}")
    progress()
    return results


def present(bench: Bench, servers: list[Server]) -> list[Server]:
    """Returns the servers whose programs are built."""

    def built(command: str) -> str:
        program = command.split()[0] if command else ""
        if not program or bench.find(program):
            return command
        missing.setdefault(program, []).append(server.name)
        return ""

    missing: dict[str, list[str]] = {}
    there = []
    for server in servers:
        server = replace(server, command=built(server.command), broadcast=built(server.broadcast))
        if server.command or server.broadcast:
            there.append(server)
    for program, names in missing.items():
        say(f"{program} is not built, so these servers are left out: {'; '.join(dict.fromkeys(names))}")
    return there


def build() -> None:
    """Builds each package with exactly the features that it needs."""
    packages = [["-p", "ws-benches", "--bins", "--examples"]]
    packages += [["-p", package, "--examples"] for package in ("ws-core", "ws-smol", "ws-std")]
    packages.append(["-p", "ws-example-tokio", "--bins"])
    if PEERS.exists():
        packages.append(["--manifest-path", str(PEERS), "--bins"])
    for arguments in packages:
        subprocess.run(["cargo", "build", "--quiet", "--release", *arguments], cwd=ROOT, check=True)


PEERS = ROOT / "benches" / "peers" / "Cargo.toml"


def target_folders() -> list[Path]:
    """Returns the target folders of this workspace and of the peers, which may differ."""
    manifests = [ROOT / "Cargo.toml"] + ([PEERS] if PEERS.exists() else [])
    folders = []
    for manifest in manifests:
        words = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--manifest-path", str(manifest)]
        metadata = subprocess.run(words, capture_output=True, check=True)
        folders.append(Path(json.loads(metadata.stdout)["target_directory"]))
    return folders


def machine() -> dict[str, str | int]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = models[0].partition(": ")[2] if models else platform.machine()
    return {"processor": processor, "processors": os.cpu_count() or 1, "kernel": platform.release().partition("-")[0]}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="time of each measurement, after a fifth as warm-up")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="SCENARIO", help=", ".join(names))
    parser.add_argument("--among", nargs="+", metavar="NAME", choices=[server.name for server in SERVERS],
                        help="only these servers and those of --server")
    parser.add_argument("--server", action="append", type=named, default=[], metavar="NAME=COMMAND",
                        help="one more server; the command contains {port}, a port to listen on, or {listen}, an "
                             "address with port 0 after which it prints `listening on ws://ADDRESS/`")
    parser.add_argument("--no-build", dest="build", action="store_false", help="use the programs that are already built")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write all readings")
    parser.add_argument("--from", dest="results", type=Path, metavar="FILE.json",
                        help="read the results from a file instead of measuring")
    parser.add_argument("--publish", action="store_true",
                        help="renew the README's table, benches/comparison.svg and benches/COMPARISON.md")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help=f"draw {', '.join(CHART)}")
    parser.add_argument("--table", type=Path, metavar="FILE.md", help="write a table of servers and scenarios")
    return parser.parse_args()


def named(text: str) -> Server:
    name, equals, command = text.partition("=")
    if not equals or ("{listen}" not in command and "{port}" not in command):
        raise argparse.ArgumentTypeError("expected NAME=COMMAND with {listen} or {port} in the command")
    return Server(name, command, blocking=None)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def progress(text: str = "") -> None:
    """Prints the progress on a line that is overwritten."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
