"""The picture of the states of a session and of a request, from the tables of the core."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from drawing.canvas import LINE, PAPER, Box, Canvas

from routermcp_proto import states

#: The middle of each state's box; a new state needs a place here.
STATE_PLACES: dict[Enum, tuple[float, float]] = {
    states.SessionState.NEW: (130, 190),
    states.SessionState.PROBING: (480, 110),
    states.SessionState.INITIALIZING: (480, 270),
    states.SessionState.READY: (720, 190),
    states.SessionState.CLOSED: (945, 190),
    states.RequestState.PENDING: (130, 560),
    states.RequestState.ANSWERED: (520, 490),
    states.RequestState.CANCELLED: (520, 560),
    states.RequestState.LOST: (520, 630),
}


def draw_states() -> str:
    """Draw the machine of a session, and below it that of a request."""
    canvas = Canvas(1040, 664, "The states of a session and of a request, and the inputs that change them")
    canvas.text(20, 34, "A session", 13, bold=True)
    canvas.text(20, 462, "A request that was sent", 13, bold=True)
    shared = {
        (happening, end)
        for (_, happening), end in states.SESSION_TRANSITIONS.items()
        if all(states.SESSION_TRANSITIONS.get((state, happening)) is end for state in states.SessionState)
    }
    ((everywhere, final),) = shared
    frame = Box(20, 46, 800, 372)
    canvas.rect(frame, "#eef2f6", LINE, dash="4 3")
    right, (final_x, final_y) = frame.x + frame.width, STATE_PLACES[final]
    canvas.path(f"M{right:g} {final_y:g}H{final_x - 58:g}")
    canvas.text((right + final_x - 58) / 2, final_y - 8, everywhere.value, 10.5, anchor="middle")
    arrows = _arrows(states.SESSION_TRANSITIONS, skip=everywhere) | _arrows(states.REQUEST_TRANSITIONS)
    for (start, end), inputs in arrows.items():
        _draw_arrow(canvas, start, end, " or ".join(inputs), both=(end, start) in arrows)
    for state, (x, y) in STATE_PLACES.items():
        canvas.rect(Box(x - 58, y - 16, 116, 32), PAPER, "#1f2933")
        canvas.text(x, y + 4, state.name, 12, anchor="middle", bold=True)
    return canvas.render()


def _arrows(table: Mapping[Any, Enum], skip: Enum | None = None) -> dict[tuple[Enum, Enum], list[str]]:
    """Return the inputs of a table of transitions by their states."""
    found: dict[tuple[Enum, Enum], list[str]] = {}
    for (start, happening), end in table.items():
        if happening is not skip:
            found.setdefault((start, end), []).append(happening.value)
    return found


def _draw_arrow(canvas: Canvas, start: Enum, end: Enum, label: str, *, both: bool) -> None:
    (x, y), (to_x, to_y) = STATE_PLACES[start], STATE_PLACES[end]
    if start is end:
        up = -1 if y < 190 or x < 200 else 1
        canvas.path(f"M{x - 22:g} {y + 16 * up:g}v{20 * up}h44v{-18 * up}")
        canvas.text(x, y + (42 if up < 0 else 48) * up + (0 if up < 0 else 2), label, 10.5, anchor="middle")
    elif abs(to_x - x) > 500:  # back over the whole picture
        canvas.path(f"M{x:g} {y + 16:g}V382H{to_x:g}V{to_y + 17:g}")
        canvas.text((x + to_x) / 2, 386, label, 10.5, anchor="middle", backed=True)
    elif x == to_x:
        side = 34 if to_y > y else -34
        canvas.path(f"M{x + side:g} {y + (16 if side > 0 else -16):g}V{to_y + (-17 if side > 0 else 17):g}")
        anchor = "start" if side > 0 else "end"
        canvas.text(x + side + (6 if side > 0 else -6), (y + to_y) / 2 + 4, label, 10.5, anchor=anchor)
    else:
        lean = 1 if to_x > x else -1
        shift = -13 * lean if both else 0
        near, far = (x + 58 * lean, y + shift), (to_x - 59 * lean, to_y + shift)
        canvas.path(f"M{near[0]:g} {near[1]:g}L{far[0]:g} {far[1]:g}")
        label_x, label_y = near[0] + (far[0] - near[0]) * 0.3, near[1] + (far[1] - near[1]) * 0.3
        canvas.text(label_x, label_y + 4, label, 10.5, anchor="middle", backed=True)
