"""Markdown tables of the results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from statistics import median
from typing import Any

from compare_run import Result, Scenario, Server

# Results by scenario and by server.
Results = dict[str, dict[str, Result]]
Column = tuple[str, Callable[[Server, Result], str]]

NOTHING = "–"


def middle(result: Result | None, key: str) -> float | None:
    """Returns the median of a reading, or `None` without readings."""
    values = [reading[key] for reading in result.readings if reading[key] is not None] if result else []
    return median(values) if values else None


def cost(scenario: Scenario, result: Result | None) -> float | None:
    """Returns the main figure of a scenario: CPU time in µs, or bytes without thread stacks."""
    if scenario.mode != "idle":
        return middle(result, "cpu_us")
    each = middle(result, "bytes_each")
    return None if each is None else each - (middle(result, "stack_bytes_each") or 0)


def ratio(scenario: Scenario, result: Result | None, to: Result | None) -> float | None:
    this, that = cost(scenario, result), cost(scenario, to)
    return this / that if this is not None and that else None


def table(scenario: Scenario, servers: list[Server], found: dict[str, Result]) -> str:
    """Returns the table of one scenario, the cheapest server first."""
    costs = {name: cost(scenario, result) for name, result in found.items()}
    rows = sorted(
        (server for server in servers if server.name in found),
        key=lambda server: (costs[server.name] is None, costs[server.name]),
    )
    columns = columns_of(scenario, rows, found)
    lines = [[title for title, _ in columns], ["---"] + ["---:"] * (len(columns) - 1)]
    for server in rows:
        result = found[server.name]
        if result.readings:
            lines.append([show(server, result) for _, show in columns])
        if result.errors:
            times = f"{len(result.errors)} time{'s' if len(result.errors) > 1 else ''}"
            failed = f"failed {times}: {'; '.join(dict.fromkeys(result.errors))}"
            lines.append([emphasized(server), failed, *[""] * (len(columns) - 2)])
    rounds = max((len(result.readings) for result in found.values()), default=0)
    head = f"### {scenario.name}\n\n{scenario.title[0].upper()}{scenario.title[1:]}. Medians of {rounds}.{doubt(found)}"
    return f"{head}\n\n{markdown(lines)}" if rows else f"### {scenario.name}\n\nNo server takes part.\n"


def doubt(found: dict[str, Result]) -> str:
    """Returns a warning if other programs kept the processors busy, which distorts rates and latencies."""
    readings = [reading for result in found.values() for reading in result.readings]
    waited = median(reading.get("waited", 0) for reading in readings) if readings else 0
    return f" The machine was busy: the generator waited {waited:.0%} of the time." if waited > 0.05 else ""


def columns_of(scenario: Scenario, rows: list[Server], found: dict[str, Result]) -> list[Column]:
    raw = found.get(scenario.raw)
    best = best_peer(scenario, rows, found)

    def reading(key: str, show: Callable[[float | None], str]) -> Callable[[Server, Result], str]:
        return lambda _, result: show(middle(result, key))

    to_raw: Column = (f"to {scenario.raw}", lambda _, result: times(ratio(scenario, result, raw)))
    to_best: Column = ("to the best peer", lambda _, result: times(ratio(scenario, result, best)))
    name: Column = ("server", lambda server, _: emphasized(server))
    peak: Column = ("peak MiB", reading("peak", mebibytes))
    if scenario.mode == "idle":
        return [
            name,
            ("bytes each", reading("bytes_each", whole)),
            ("thread stacks", reading("stack_bytes_each", whole)),
            ("without stacks", lambda _, result: whole(cost(scenario, result))),
            to_best,
            peak,
        ]
    return [
        name,
        (f"{unit(scenario)}/s", reading("per_second", whole)),
        ("server CPU µs", reading("cpu_us", digits)),
        ("spread", lambda _, result: spread(result)),
        to_raw,
        to_best,
        ("p50 µs", reading("p50_us", digits)),
        ("p99 µs", reading("p99_us", digits)),
        ("p99.9 µs", reading("p999_us", digits)),
        ("system calls", lambda _, result: digits(result.syscalls)),
        peak,
    ]


def unit(scenario: Scenario) -> str:
    return {"broadcast": "deliveries", "handshake": "openings"}.get(scenario.mode, "messages")


def best_peer(scenario: Scenario, rows: list[Server], found: dict[str, Result]) -> Result | None:
    """Returns the first peer's result. The rows are sorted by cost."""
    peers = (found[server.name] for server in rows if server.role == "peer")
    return next((result for result in peers if result.readings), None)


def summary(scenarios: list[Scenario], servers: list[Server], results: Results) -> str:
    """Returns a table with a row per server and a column per scenario: cost and ratio to the raw server."""
    shown = [scenario for scenario in scenarios if results.get(scenario.name)]
    what = ["bytes" if scenario.mode == "idle" else "µs" for scenario in shown]
    titles = [f"{scenario.name}, {unit}" for scenario, unit in zip(shown, what, strict=True)]
    lines = [["server", *titles], ["---"] + ["---:"] * len(shown)]
    for server in servers:
        cells = []
        for scenario in shown:
            result = results[scenario.name].get(server.name)
            raw = results[scenario.name].get(scenario.raw)
            cells.append(cell(scenario, result, raw))
        if any(cells):
            lines.append([emphasized(server), *cells])
    return markdown(lines)


def cell(scenario: Scenario, result: Result | None, raw: Result | None) -> str:
    if result is None:
        return ""
    value = cost(scenario, result)
    if value is None or result.errors:
        return "failed"
    if scenario.mode == "idle":
        return whole(value)
    shown, to_raw = digits(value), ratio(scenario, result, raw)
    return shown if to_raw is None else f"{shown} ({times(to_raw)})"


def emphasized(server: Server) -> str:
    return f"**{server.name}**" if server.role == "ours" else server.name


def spread(result: Result) -> str:
    """Returns half the range of the rounds relative to their median."""
    values = [reading["cpu_us"] for reading in result.readings]
    return f"±{(max(values) - min(values)) / 2 / median(values):.0%}" if len(values) > 1 else NOTHING


def digits(value: float | None) -> str:
    """Formats a number with three significant digits."""
    if value is None:
        return NOTHING
    places = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{places}f}"


def whole(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def times(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}×"


def mebibytes(value: float | None) -> str:
    return NOTHING if value is None else f"{value / (1 << 20):.1f}"


def markdown(lines: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def save(results: Results, machine: dict[str, str | int]) -> dict[str, Any]:
    found = {
        scenario: {server: dataclasses.asdict(result) for server, result in servers.items()}
        for scenario, servers in results.items()
    }
    return {"machine": machine, "results": found}


def restore(saved: dict[str, Any]) -> Results:
    return {
        scenario: {server: Result(**result) for server, result in servers.items()}
        for scenario, servers in saved["results"].items()
    }
