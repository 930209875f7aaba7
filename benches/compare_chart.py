"""Draws the cost of servers relative to a raw server as SVG, without a library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

from compare_report import Results, ratio
from compare_run import Scenario, Server

WIDTH, MARGIN, GAP = 960, 32, 48
HEAD, PANEL_HEAD, PANEL_FOOT, FOOT = 92, 46, 26, 34
ROW, BAR = 22, 14
NAMES, VALUES = 150, 44
PANEL = (WIDTH - 2 * MARGIN - GAP) / 2

# The chart has its own background, because a page may be light while the reader's system is dark.
STYLE = """
text { font: 12.5px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #424a53;
  paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
.card { fill: #ffffff; stroke: #d1d9e0 }
.title { font-size: 19px; font-weight: 650; fill: #1f2328 }
.sub { font-size: 13px; fill: #59636e }
.panel { font-size: 14px; font-weight: 650; fill: #1f2328 }
.axis { font-size: 11px; fill: #818b98 }
.grid { stroke: #e6eaef }
.one { stroke: #818b98; stroke-dasharray: 3 3 }
.peer { fill: #b8c2cc }
.raw { fill: #dfe4e9 }
.ours { fill: #1f6feb }
text.ours { fill: #0a58ca; font-weight: 650 }
@media (prefers-color-scheme: dark) {
  text { fill: #c2cad3; stroke: #0d1117 }
  .card { fill: #0d1117; stroke: #30363d }
  .title, .panel { fill: #f0f6fc }
  .sub { fill: #9198a1 }
  .axis { fill: #7d8590 }
  .grid { stroke: #21262d }
  .one { stroke: #7d8590 }
  .peer { fill: #4b5563 }
  .raw { fill: #2b323b }
  .ours { fill: #4493f8 }
  text.ours { fill: #79b8ff }
}
"""


NOTE = "1× is a server on epoll that echoes bytes and knows no protocol; of each library its best way of writing."


@dataclass(frozen=True)
class Bar:
    name: str
    role: str
    ratio: float


def draw(scenarios: list[Scenario], servers: list[Server], results: Results) -> str:
    panels = [(scenario, bars_of(scenario, servers, results)) for scenario in scenarios]
    panels = [(scenario, bars) for scenario, bars in panels if bars]
    parts, top = [], float(HEAD)
    for at in range(0, len(panels), 2):
        pair = panels[at : at + 2]
        for column, (scenario, bars) in enumerate(pair):
            parts += panel(scenario, bars, MARGIN + column * (PANEL + GAP), top)
        top += PANEL_HEAD + PANEL_FOOT + ROW * max(len(bars) for _, bars in pair) + 12
    height = top + FOOT - 12
    title = "Server CPU time for each message, relative to a raw TCP echo"
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="{title}">',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="10"/>',
        text(MARGIN, 40, title, "title"),
        text(MARGIN, 63, f"Shorter is better. {NOTE}", "sub"),
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def bars_of(scenario: Scenario, servers: list[Server], results: Results) -> list[Bar]:
    """Returns the bars, cheapest first. A library with several variants (after a comma) gets its best one."""
    found = results.get(scenario.name, {})
    raw = found.get(scenario.raw)
    best: dict[str, Bar] = {}
    for server in servers:
        value = ratio(scenario, found.get(server.name), raw)
        library = server.name.partition(",")[0]
        if value is not None and (library not in best or value < best[library].ratio):
            best[library] = Bar(server.name, server.role, value)
    return sorted(best.values(), key=lambda bar: bar.ratio)


def panel(scenario: Scenario, bars: list[Bar], left: float, top: float) -> list[str]:
    start, width = left + NAMES, PANEL - NAMES - VALUES
    longest = max(bar.ratio for bar in bars)
    scale = width / longest
    first, last = top + PANEL_HEAD, top + PANEL_HEAD + ROW * len(bars)
    parts = [text(left, top + 16, scenario.title[0].upper() + scenario.title[1:], "panel")]
    for tick in ticks(longest):
        x = start + tick * scale
        parts.append(line(x, first - 4, last + 2, "one" if tick == 1 else "grid"))
        if tick > 0:
            parts.append(text(x, last + 16, f"{tick:g}×", "axis", "middle"))
    for number, bar in enumerate(bars):
        y = first + ROW * number
        length = max(bar.ratio * scale, 1.0)
        name_class = "ours" if bar.role == "ours" else ""
        parts += [
            text(start - 8, y + 15, bar.name, name_class, "end"),
            f'<rect class="{bar.role}" x="{start:.1f}" y="{y + (ROW - BAR) / 2:.1f}" width="{length:.1f}" '
            f'height="{BAR}" rx="2.5"/>',
            text(start + length + 6, y + 15, f"{bar.ratio:.2f}", name_class),
        ]
    return parts


def ticks(longest: float) -> list[float]:
    """Returns the ticks: 0, 1 and more at a readable distance."""
    step = next((step for step in (1, 2, 5, 10, 20, 50) if longest / step <= 6), math.ceil(longest / 6))
    return sorted({0.0, 1.0, *(float(tick) for tick in range(0, math.floor(longest) + 1, step))})


def line(x: float, top: float, bottom: float, style: str) -> str:
    return f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'


def text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    style = f' class="{style}"' if style else ""
    anchor = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}"{anchor}>{escape(words)}</text>'
