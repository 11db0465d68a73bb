"""The picture of docs/reliability.md and docs/compatibility.md: a square for each row and each client."""

from __future__ import annotations

from collections.abc import Sequence

import compatibility
import reliability
from comparison import OTHERS
from drawing.canvas import FADED, Box, Canvas

RIGHT, WRONG = "#2f855a", "#c53030"

#: Pixels from one square to the next, and from one client to the next.
STEP, LINE = 9, 24
#: Pixels left of the squares, for the names, and right of the longest line, for its count.
LEFT, AFTER = 110, 100


def draw_walls() -> str:
    """Draw one wall below the other."""
    faults = [[True] * len(reliability.ROWS)]
    faults += [
        [reliability.is_ok(row, reliability.COMPARISON.found(client, row.name)) for row in reliability.ROWS]
        for client in OTHERS
    ]
    reports = [[True] * len(compatibility.ROWS)]
    reports += [[compatibility.is_right(client, row) for row in compatibility.ROWS] for client in OTHERS]
    width = LEFT + STEP * max(len(faults[0]), len(reports[0])) + AFTER
    canvas = Canvas(
        width, 236, "Which rows of the reliability and compatibility pages come out right, by client"
    )
    _wall(canvas, 30, f"{len(faults[0])} ways in which a server or a network misbehaves", faults)
    _wall(canvas, 146, f"{len(reports[0])} inputs of public bug reports", reports)
    return canvas.render()


def _wall(canvas: Canvas, top: float, title: str, lines: Sequence[Sequence[bool]]) -> None:
    canvas.text(20, top, title, 13, bold=True)
    for number, (client, line) in enumerate(zip(("routermcp", *OTHERS), lines, strict=True)):
        y = top + 14 + LINE * number
        canvas.text(20, y + 12, client, 12)
        for place, right in enumerate(line):
            canvas.rect(Box(LEFT + STEP * place, y, STEP - 2, 15), RIGHT if right else WRONG)
        after = LEFT + STEP * len(line) + 8
        canvas.text(after, y + 12, f"{sum(line)} of {len(line)}", 12, fill=FADED)
