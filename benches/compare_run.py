"""Starts servers one at a time, loads them and reads the cost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

# A result of the generator; and its maximum time in seconds beyond the measured time.
Reading = dict[str, Any]
PATIENCE = 60.0


class Failure(Exception):
    """A failure of a server or of the generator, shown in the row of that server."""


@dataclass(frozen=True)
class Server:
    """A program to compare, and its command.

    In the command `{listen}` is an address whose port the server chooses and prints in the line `listening on
    ws://ADDRESS/` (or `tcp://` for a raw server). `{port}` is a free port: a server that uses it only has to
    accept connections. `{unit}` is the frame size of a broadcast in bytes.
    """

    name: str
    command: str
    # "ours", "raw" or "peer".
    role: str = "peer"
    # `True` for a thread per connection, `None` if unknown.
    blocking: bool | None = False
    # The command for broadcasting; empty if the program cannot broadcast.
    broadcast: str = ""


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    # Command-line options of the generator.
    load: str
    # The participating servers: "loops", "threads", "all" or "broadcast".
    servers: str
    # The raw server to compare with.
    raw: str = "raw epoll"

    def option(self, name: str, default: str = "") -> str:
        words = self.load.split()
        return words[words.index(name) + 1] if name in words else default

    @property
    def mode(self) -> str:
        return self.option("--mode", "echo")

    def includes(self, server: Server) -> bool:
        return {
            "loops": server.blocking is not True,
            "threads": server.blocking is not False,
            "all": True,
            "broadcast": bool(server.broadcast),
        }[self.servers] and (self.servers == "broadcast" or bool(server.command))


@dataclass
class Result:
    """The results of one server in one scenario."""

    readings: list[Reading] = field(default_factory=list)
    syscalls: float | None = None
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """Folders of the programs, and the processors that they run on."""

    folders: list[Path]
    server_cpu: int
    load_cpu: int
    # "perf", "strace" or an empty string.
    tracer: str

    def command(self, server: Server, scenario: Scenario, port: int) -> list[str]:
        template = server.broadcast if scenario.servers == "broadcast" else server.command
        # The header of a server's frame takes 2 to 10 bytes.
        payload = int(scenario.option("--payload", "20"))
        unit = payload + (2 if payload < 126 else 4 if payload < 1 << 16 else 10)
        words = [word.format(listen="127.0.0.1:0", port=port, unit=unit) for word in shlex.split(template)]
        program = self.find(words[0])
        if program is None:
            raise Failure(f"there is no {words[0]}")
        return [program, *words[1:]]

    def find(self, program: str) -> str | None:
        for folder in self.folders:
            if os.access(folder / program, os.X_OK):
                return str(folder / program)
        return shutil.which(program)

    def load(self, server: Running, options: str) -> list[str]:
        load = self.find("load")
        if load is None:
            raise Failure("the generator is not built")
        pinned = ["taskset", "-c", str(self.load_cpu), load]
        return [*pinned, "--json", "--pid", str(server.pid), "--url", server.url, *options.split()]


@dataclass(frozen=True)
class Running:
    pid: int
    url: str


def processors() -> tuple[int, int]:
    """Returns a processor for the server and another for the generator."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise SystemExit("compare.py needs two processors: one for the server, one for the generator")
    return available[0], available[1]


def allow_descriptors() -> None:
    """Raises the limit of file descriptors, which the servers inherit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def measure(bench: Bench, scenario: Scenario, server: Server, result: Result, seconds: float) -> None:
    """Adds a reading. Counts system calls once, in separate runs that are not timed."""
    with running(bench, server, scenario) as process:
        result.readings.append(run_load(bench.load(process, f"{scenario.load} --seconds {seconds}")))
        if result.syscalls is None and bench.tracer and scenario.mode != "idle":
            result.syscalls = count_syscalls(bench, process, scenario, min(seconds, 1.0))


@contextlib.contextmanager
def running(bench: Bench, server: Server, scenario: Scenario) -> Iterator[Running]:
    port = free_port()
    command = bench.command(server, scenario, port)
    told = str(port) in " ".join(command)
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(bench.server_cpu), *command], stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield Running(process.pid, wait_for_url(process, output, port if told else None))
            if process.poll() is not None:
                raise Failure(f"ended with {process.returncode}: {last_line(output)}")
        finally:
            stop(process)


def wait_for_url(process: subprocess.Popen[bytes], output: IO[str], port: int | None) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        output.seek(0)
        if found := re.search(r"listening on ((?:ws|tcp)://\S+)", output.read()):
            return found[1]
        if process.poll() is not None:
            raise Failure(f"ended with {process.returncode}: {last_line(output)}")
        if port is not None and accepts(port):
            return f"ws://127.0.0.1:{port}/"
        time.sleep(0.01)
    raise Failure("does not listen")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def accepts(port: int) -> bool:
    with socket.socket() as stream:
        return stream.connect_ex(("127.0.0.1", port)) == 0


def last_line(output: IO[str]) -> str:
    output.seek(0)
    return (output.read().strip().splitlines() or ["it said nothing"])[-1]


def stop(process: subprocess.Popen[Any], how: signal.Signals = signal.SIGTERM) -> None:
    process.send_signal(how)
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_load(command: list[str]) -> Reading:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE + 10)
    except subprocess.TimeoutExpired:
        raise Failure("the generator did not end") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["the generator failed"]
        raise Failure(said[-1].removeprefix("load: "))
    reading: Reading = json.loads(done.stdout)
    return reading


def find_tracer() -> str:
    """Returns the tool that can count system calls of another process on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        for tracer, words in (("perf", PERF), ("strace", STRACE)):
            with contextlib.suppress(OSError, Failure):
                subprocess.run([*words, str(report), "true"], capture_output=True, check=False)
                if COUNTED[tracer](report.read_text()) > 0:
                    return tracer
    return ""


PERF = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o"]
STRACE = ["strace", "-f", "-c", "-U", "calls,name", "-o"]


def counted_by_perf(report: str) -> int:
    if found := re.search(r"^(\d+),.*sys_enter", report, re.MULTILINE):
        return int(found[1])
    raise Failure("perf counted nothing")


def counted_by_strace(report: str) -> int:
    if found := re.search(r"^\s*(\d+)\s+total", report, re.MULTILINE):
        return int(found[1])
    raise Failure("strace counted nothing")


COUNTED = {"perf": counted_by_perf, "strace": counted_by_strace}


def count_syscalls(bench: Bench, server: Running, scenario: Scenario, seconds: float) -> float | None:
    """Returns the system calls per message: the difference of two runs with equally many connections."""
    try:
        few, many = (
            traced(bench, server, f"{scenario.load} --seconds {seconds * part}") for part in (0.1, 0.4)
        )
    except Failure:
        return None
    messages = many[1] - few[1]
    return (many[0] - few[0]) / messages if messages > 0 else None


def traced(bench: Bench, server: Running, options: str) -> tuple[int, int]:
    """Returns the system calls of the server and the number of messages."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        load = bench.load(server, options)
        if bench.tracer == "perf":
            # perf watches the server while the generator runs.
            reading = run_load([*PERF, str(report), "-p", str(server.pid), *load])
        else:
            watch = [*STRACE, str(report), "-p", str(server.pid)]
            tracer = subprocess.Popen(watch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                time.sleep(0.2)
                reading = run_load(load)
            finally:
                stop(tracer, signal.SIGINT)
        return COUNTED[bench.tracer](report.read_text()), int(reading["total"])
