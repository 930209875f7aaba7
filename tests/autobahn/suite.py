#!/usr/bin/env python3
"""Runs the Autobahn suite against an echo server and a client, and evaluates the results.

    suite.py HOME ECHO_SERVER AUTOBAHN_CLIENT
    suite.py HOME --summary TITLE=PROGRAM...

HOME is where setup.sh installed the suite; the reports are left there, in a folder for each role. Fails
unless every case is OK or informational: here NON-STRICT counts as a failure. The second form runs
nothing: it writes a table of these programs' latest reports to stdout, and fails if they lack a group or a
case.
"""

import collections
import contextlib
import json
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import threading
import time

# Excluded unless one of these variables is set: a thousand messages in each of 216 cases take Python minutes.
DEFLATE_CASES = ["12.*", "13.*"]
WITH_DEFLATE = os.environ.get("AUTOBAHN_DEFLATE") or os.environ.get("AUTOBAHN_SUMMARY")
EXCLUDED_CASES = [] if WITH_DEFLATE else DEFLATE_CASES

PASSED = ("OK", "INFORMATIONAL")
GROUPS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits and speed",
    "10": "auto-fragmentation",
    "12": "deflate, sizes",
    "13": "deflate, parameters",
}

# The suite often waits for a second on purpose, so more parts than processors run faster.
SHARES = int(os.environ.get("AUTOBAHN_JOBS", 4))
# Time limit for the whole run in seconds: far more than it takes, even on a busy machine.
TIME = 7200

deadline = time.monotonic() + TIME


def left():
    return max(0.0, deadline - time.monotonic())


class Program:
    """A process whose output is stored in a file and can be awaited. It ends with the context."""

    def __init__(self, log, *command, **environment):
        self.log = log
        self.lines = queue.Queue()
        self.process = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, "PYTHONNOUSERSITE": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        with open(self.log, "w") as log:
            for line in self.process.stdout:
                log.write(line)
                self.lines.put(line.strip())
        self.lines.put(None)

    def line(self, start):
        """Waits for the next line with this prefix, and returns the rest of it."""
        while True:
            try:
                line = self.lines.get(timeout=left())
            except queue.Empty:
                sys.exit(f"no time is left; see {self.log}")
            if line is None:
                sys.exit(f"it ended before it said {start!r}; see {self.log}")
            if line.startswith(start):
                return line[len(start) :].strip()

    def wait(self):
        try:
            return self.process.wait(left())
        except subprocess.TimeoutExpired:
            sys.exit(f"no time is left; see {self.log}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()


def fuzzer(home, folder, mode, share, **settings):
    folder = folder / f"share{share}"
    folder.mkdir(parents=True)
    settings["outdir"] = str(folder)
    settings["cases"] = ["*"]
    settings["exclude-cases"] = EXCLUDED_CASES
    settings["exclude-agent-cases"] = {}
    (folder / "settings.json").write_text(json.dumps(settings))
    wstest = pathlib.Path(__file__).with_name("wstest.py")
    command = [home / "python2.7", "-u", "-W", "ignore", wstest]
    options = ["--mode", mode, "--spec", folder / "settings.json", "--webport", "0"]
    environment = {"SITE": str(home / "site"), "SHARE": f"{share}/{SHARES}"}
    return Program(folder / "wstest.log", *command, *options, **environment)


def test_server(home, folder, program):
    """Runs the suite's clients against the server."""
    with contextlib.ExitStack() as stack:
        options = ["--listen", "127.0.0.1:0", "--deflate"]
        server = stack.enter_context(Program(folder / "server.log", program, *options))
        url = server.line("listening on ").rstrip("/")
        servers = [{"agent": "testee", "url": url}]
        fuzzers = [fuzzer(home, folder, "fuzzingclient", share, servers=servers) for share in range(SHARES)]
        for each in fuzzers:
            stack.enter_context(each)
        selected = sum(int(each.line("selected")) for each in fuzzers)
        for each in fuzzers:
            if each.wait() != 0:
                sys.exit(f"the suite failed; see {each.log}")
        if server.process.poll() is not None:
            sys.exit(f"the server has ended; see {server.log}")
    return selected


def test_client(home, folder, program):
    """Runs the client against the suite's servers."""
    with contextlib.ExitStack() as stack:
        url = "ws://127.0.0.1:9001"  # wstest.py chooses another port
        fuzzers = [fuzzer(home, folder, "fuzzingserver", share, url=url) for share in range(SHARES)]
        for each in fuzzers:
            stack.enter_context(each)
        selected = sum(int(each.line("selected")) for each in fuzzers)
        clients = []
        for share, each in enumerate(fuzzers):
            log = folder / f"share{share}" / "client.log"
            url = f"ws://127.0.0.1:{each.line('listening on ')}"
            clients.append(stack.enter_context(Program(log, program, url, "testee")))
        for client in clients:
            if client.wait() != 0:
                sys.exit(f"the client failed; see {client.log}")
    return selected


def results(folder):
    """Returns the suite's result for each case."""
    found = {}
    for index in folder.glob("share*/index.json"):
        for case, result in json.loads(index.read_text())["testee"].items():
            found[case] = result | {"report": index.with_name(result["reportfile"])}
    order = sorted(found, key=lambda case: [int(number) for number in case.split(".")])
    return {case: found[case] for case in order}


def judge(found, selected):
    """Prints a table and the failures. Returns `True` if all cases have passed."""
    table = collections.defaultdict(collections.Counter)
    failed = []
    for case, result in found.items():
        verdicts = {result["behavior"], result["behaviorClose"]}
        bad = sorted(verdicts - set(PASSED))
        verdict = "failed" if bad else result["behavior"]
        table[case.split(".")[0]][verdict] += 1
        if bad:
            failed.append(f"{case}: {', '.join(bad)}; see {result['report']}")
    columns = [*PASSED, "failed"]
    print(f"  {'group':<26}{'cases':>6}", *(f"{column:>14}" for column in columns), sep="")
    table["total"] = sum(table.values(), collections.Counter())
    for group, counts in table.items():
        name = f"{group:>5}  {GROUPS.get(group, '')}"
        print(f"  {name:<26}{counts.total():>6}", *(f"{counts[column]:>14}" for column in columns), sep="")
    for line in failed:
        print(" ", line)
    if len(found) != selected:
        print(f"  of {selected} cases, {len(found)} were reported")
    return bool(found) and not failed and len(found) == selected


def version(name):
    """Returns the version of a package of the suite."""
    pins = pathlib.Path(__file__).with_name("requirements.txt").read_text().split()
    return next(pin for pin in pins if pin.startswith(f"{name}==")).replace("==", " ")


def summary(home, titles):
    """Returns the results of these programs as a Markdown table."""
    columns, days = {}, set()
    for title, program in (title.split("=") for title in titles):
        folder = home / "reports" / program
        found = results(folder)
        logs = "\n".join(log.read_text() for log in folder.glob("share*/wstest.log")).splitlines()
        selected = sum(int(line.split()[1]) for line in logs if line.startswith("selected "))
        table = collections.defaultdict(collections.Counter)
        for case, result in found.items():
            passed = {result["behavior"], result["behaviorClose"]} <= set(PASSED)
            table[case.split(".")[0]][result["behavior"] if passed else "failed"] += 1
            days.add(json.loads(result["report"].read_text())["started"][:10])
        if len(found) != selected or set(table) != set(GROUPS):
            sys.exit(f"{program}: {len(found)} of {selected} cases, groups {', '.join(table)}")
        table["total"] = sum(table.values(), collections.Counter())
        columns[title] = table
    rustc = subprocess.check_output(["rustc", "--version"], text=True).split()[1]
    yield "# The Autobahn testsuite"
    yield ""
    yield f"Generated by `AUTOBAHN_SUMMARY=1 tests/autobahn/run.sh std smol` on {', '.join(sorted(days))} with"
    yield f"{version('autobahntestsuite')}, rustc {rustc} and release builds."
    yield ""
    yield "| group | cases | " + " | ".join(columns) + " |"
    yield "|---|---|" + "---|" * len(columns)
    names = {"OK": "OK", "INFORMATIONAL": "informational", "failed": "FAILED"}

    def cell(counts):
        return ", ".join(f"{counts[kind]} {name}" for kind, name in names.items() if counts[kind])

    for group in [*GROUPS, "total"]:
        counts = [table[group] for table in columns.values()]
        cases = " / ".join(str(size) for size in sorted({each.total() for each in counts}))
        row = [f"{group} {GROUPS.get(group, '')}".rstrip(), cases, *map(cell, counts)]
        yield f"| {' | '.join(row)} |"


def main():
    if sys.argv[2:3] == ["--summary"]:
        print(*summary(pathlib.Path(sys.argv[1]), sys.argv[3:]), sep="\n")
        return 0
    home, server, client = (pathlib.Path(argument).absolute() for argument in sys.argv[1:])
    passed = True
    for role, test, program in (("server", test_server, server), ("client", test_client, client)):
        folder = home / "reports" / program.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        began = time.monotonic()
        selected = test(home, folder, program)
        print(f"{program.name}, {role} ({time.monotonic() - began:.0f} s)")
        passed &= judge(results(folder), selected)
    print("passed" if passed else "failed")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
