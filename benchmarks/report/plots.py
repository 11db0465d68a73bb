"""The pictures of docs/performance.md: bars of the CPU of a call, and a line for each thing that grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from drawing.canvas import FADED, INK, LINE, Box, Canvas

#: The clients of the bar chart, in its order.
BARS = ("routermcp", "aiohttp", "httpx2", "httpx", "mcp", "fastmcp")
#: The cases of the bar chart: way, letters, calls at once, and what they are called.
CASES = (
    ("json", 0, 16, "JSON, 100 B"),
    ("events", 0, 16, "event stream, 100 B"),
    ("json", 65536, 16, "JSON, 64 KiB"),
    ("events", 65536, 16, "event stream, 64 KiB"),
)
OURS, OTHERS = "#2f6f4f", "#b8c4ce"
#: Pixels: of the bars' picture, of a bar, and of a panel of lines.
WIDTH, LEFT, ROW, PANEL_WIDTH, PANEL_HEIGHT = 760, 110, 20, 330, 220


def pictures(found: dict[str, Any]) -> dict[str, str]:
    """Return the pictures, by name."""
    measured = found["benchmarks"]
    drawn = {"performance-calls.svg": bars(measured["http"]["rows"])}
    if "scale" in measured:
        drawn["performance-scale.svg"] = lines(measured["scale"]["lines"])
    return drawn


def bars(rows: Sequence[dict[str, Any]]) -> str:
    """Draw the CPU of a call, for each client, in a group for each case."""
    cpu = {(row["client"], row["way"], row["letters"], row["concurrency"]): row["cpu"] for row in rows}
    groups = [
        (title, [(client, cpu[client, *case]) for client in BARS if (client, *case) in cpu])
        for *case, title in CASES
    ]
    height = 62 + sum(32 + ROW * len(group) for _, group in groups)
    canvas = Canvas(WIDTH, height, "CPU time of a tool call, by client")
    canvas.text(
        20, 30, "CPU time of a tool call in the client's process, 16 at once; less is better", 13, bold=True
    )
    longest = max(value for _, group in groups for _, value in group)
    y = 62.0
    for title, group in groups:
        canvas.text(20, y, title, 12, bold=True)
        y += 8
        for client, value in group:
            canvas.text(LEFT - 8, y + 13, client, 12, anchor="end")
            length = max(value / longest * (WIDTH - LEFT - 100), 2)
            canvas.rect(Box(LEFT, y + 2, length, ROW - 5), OURS if client == "routermcp" else OTHERS)
            canvas.text(LEFT + length + 6, y + 13, f"{value:.0f} µs", 12, fill=INK)
            y += ROW
        y += 24
    return canvas.render()


def lines(found: dict[str, Sequence[Sequence[float]]]) -> str:
    """Draw a panel for each thing that grows, both axes logarithmic, beside what linear growth would be."""
    across = 2
    down = math.ceil(len(found) / across)
    canvas = Canvas(
        20 + across * (PANEL_WIDTH + 20), 56 + down * (PANEL_HEIGHT + 30), "How the CPU time grows"
    )
    canvas.text(20, 30, "CPU time against size; dashed: linear growth", 13, bold=True)
    for number, (name, points) in enumerate(found.items()):
        x = 20 + number % across * (PANEL_WIDTH + 20)
        panel(
            canvas,
            Box(x, 50 + number // across * (PANEL_HEIGHT + 30), PANEL_WIDTH, PANEL_HEIGHT),
            name,
            points,
        )
    return canvas.render()


def panel(canvas: Canvas, box: Box, name: str, points: Sequence[Sequence[float]]) -> None:
    """Draw one line in its axes."""
    canvas.rect(box, "#ffffff", LINE)
    canvas.text(box.x + 10, box.y + 18, name, 12, bold=True)
    plot = Box(box.x + 70, box.y + 30, box.width - 100, box.height - 65)
    left, right = math.log10(points[0][0]), math.log10(points[-1][0])
    bottom = math.floor(math.log10(min(cost for _, cost in points)))
    top = math.ceil(math.log10(max(cost for _, cost in points)))

    def at(size: float, cost: float) -> tuple[float, float]:
        x = plot.x + (math.log10(size) - left) / (right - left) * plot.width
        return x, plot.bottom - (math.log10(cost) - bottom) / (top - bottom) * plot.height

    for power in range(bottom, top + 1):
        y = at(points[0][0], 10.0**power)[1]
        canvas.path(f"M{plot.x:.1f} {y:.1f}H{plot.x + plot.width:.1f}", "#e4e7eb", arrow=False)
        canvas.text(plot.x - 8, y + 4, f"{10.0**power:g} ms", 10, anchor="end", fill=FADED)
    for size in (points[0][0], points[len(points) // 2][0], points[-1][0]):
        canvas.text(at(size, 1)[0], plot.bottom + 18, amount(size), 10, anchor="middle", fill=FADED)
    size, cost = points[-1]
    from_size = max(points[0][0], size * 10.0**bottom / cost)
    start, end = at(from_size, cost * from_size / size), at(size, cost)
    canvas.path(f"M{start[0]:.1f} {start[1]:.1f}L{end[0]:.1f} {end[1]:.1f}", FADED, arrow=False, dash="4 4")
    places = [at(*point) for point in points]
    canvas.path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places), OURS, arrow=False)
    for x, y in places:
        canvas.rect(Box(round(x - 3, 1), round(y - 3, 1), 6, 6), OURS)


def amount(size: float) -> str:
    """Return a number as it is written at an axis."""
    return f"{size / 1_000_000:g}M" if size >= 1_000_000 else f"{size:,.0f}"
