"""Draws the pictures of docs/architecture.md from the code.

::

    python scripts/pictures.py [--check]

* ``packages.svg``: the parts of the project and their rooms (modules and folders), with arrows for
  the imports, as the source has them.
* ``call.svg``: one ``await client.call_tool()``, recorded with ``sys.setprofile``.
* ``states.svg``: the transitions of :mod:`routermcp_proto.states`.

``--check`` draws all and fails where a file differs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "scripts")]

import bare_server  # noqa: E402
from svg import FADED, LINE, PAPER, Box, Canvas, text_width  # noqa: E402

from routermcp import RouterMCPClient  # noqa: E402
from routermcp_proto import states  # noqa: E402
from tests.structure.imports import PACKAGES, files, own_imports  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"

#: The parts of the project from top to bottom, each with its colour. A part of ``routermcp`` that
#: is not named here belongs to the client.
PARTS = {
    "routermcp.cli": "#fde9d9",
    "routermcp.gateway": "#fdf3c7",
    "routermcp": "#dcebfb",
    "routermcp.oauth": "#e8e1f7",
    "routermcp_adapters": "#d9f2e3",
    "routermcp_proto": "#f8dde3",
}

Edges = dict[str, set[str]]


def part_of(module: str) -> str:
    """Return the part of the project that a module belongs to."""
    if module == "routermcp.__main__":
        return "routermcp.cli"
    found = [part for part in PARTS if module == part or module.startswith(f"{part}.")]
    return max(found, key=len)


def room_of(module: str) -> str:
    """Return the module or folder at the top of its part that a module is in; the part's own name for it."""
    return module.removeprefix(part_of(module)).lstrip(".").partition(".")[0]


def reduced(edges: Edges) -> Edges:
    """Leave out the edges that a longer way makes superfluous."""

    @cache
    def below(node: str) -> frozenset[str]:
        return frozenset(edges[node]).union(*(below(other) for other in edges[node]))

    return {
        node: {end for end in ends if not any(end in below(other) for other in ends - {end})}
        for node, ends in edges.items()
    }


def floors(edges: Edges) -> list[list[str]]:
    """Sort nodes by floor, the lowest first: each is one above the highest that it imports."""
    floor: dict[str, int] = {}
    for node in TopologicalSorter(edges).static_order():
        floor[node] = 1 + max((floor[end] for end in edges[node]), default=-1)
    return [
        sorted(node for node in floor if floor[node] == level) for level in range(max(floor.values()) + 1)
    ]


# ---- the packages --------------------------------------------------------------------------

#: Pixels of the picture's width, between two chips, and of the space in which arrows run.
WIDTH, GAP, SPACE = 760, 12, 22


@dataclass(frozen=True)
class Room:
    """A module or folder, with the lines of its chip."""

    name: str
    lines: tuple[str, ...]

    @property
    def width(self) -> float:
        """Pixels of its chip."""
        return max(text_width(self.name, 12), *(text_width(line, 9) for line in self.lines or ("",))) + 16

    @property
    def height(self) -> float:
        """Pixels of its chip."""
        return 22 + 11 * len(self.lines) + (2 if self.lines else 0)


def rooms_of(part: str) -> dict[str, Room]:
    """Return the rooms of a part by name; a folder lists its modules."""
    inside: dict[str, list[str]] = {}
    for module, path in files(PACKAGES).items():
        room = room_of(module)
        if part_of(module) == part and room and module != "routermcp.__main__":
            within = module.removeprefix(part).lstrip(".").partition(".")[2]
            inside.setdefault(room, [])
            if within and path.name != "__init__.py":
                inside[room].append(within.replace(".", "/"))
    return {
        room: Room(
            room + ("/" if modules else ""),
            tuple(wrap(" ".join(sorted(modules)), max(24, len(" ".join(modules)) // 3))),
        )
        for room, modules in inside.items()
    }


@dataclass
class Plan:
    """Where the chips of a part lie, relative to the corner of its frame."""

    rooms: Mapping[str, Room]
    edges: Edges
    chips: dict[str, Box] = field(default_factory=dict[str, Box])
    height: float = 0

    @classmethod
    def of(cls, edges: Edges, rooms: Mapping[str, Room]) -> Plan:
        """Lay out the floors one above the other, each in rows that fit the frame."""
        plan = cls(rooms, reduced(edges))
        y = 30.0
        for floor in reversed(floors(edges)):
            for row in plan._rows(floor):
                width = sum(rooms[name].width for name in row) + GAP * (len(row) - 1)
                x = (WIDTH - 60 - width) / 2
                for name in row:
                    plan.chips[name] = Box(x, y, rooms[name].width, rooms[name].height)
                    x += rooms[name].width + GAP
                y += max(rooms[name].height for name in row) + SPACE
        plan.height = y - SPACE - 10
        return plan

    def _rows(self, floor: list[str]) -> list[list[str]]:
        def wanted(name: str) -> tuple[float, str]:
            above = [box.middle for other, box in self.chips.items() if name in self.edges[other]]
            return (sum(above) / len(above) if above else WIDTH / 2), name

        rows: list[list[str]] = [[]]
        room = WIDTH - 84.0
        for name in sorted(floor, key=wanted):
            room -= self.rooms[name].width + GAP
            if room < 0 and rows[-1]:
                rows.append([])
                room = WIDTH - 84.0 - self.rooms[name].width - GAP
            rows[-1].append(name)
        return rows

    def draw(self, canvas: Canvas, frame: Box) -> None:
        """Draw arrows, and the chips above them."""
        places = {
            name: Box(frame.x + box.x, frame.y + box.y, box.width, box.height)
            for name, box in self.chips.items()
        }
        for name, ends in self.edges.items():
            for end in sorted(ends):
                start_x = _spread(places[name], end, ends, places)
                end_x = _spread(places[end], name, {o for o, e in self.edges.items() if end in e}, places)
                start_y, end_y = places[name].bottom, places[end].y
                bend = min(40, (end_y - start_y) / 2)
                canvas.path(
                    f"M{start_x:.1f} {start_y:g}C{start_x:.1f} {start_y + bend:g} "
                    f"{end_x:.1f} {end_y - bend:g} {end_x:.1f} {end_y:g}"
                )
        for name, box in places.items():
            room = self.rooms[name]
            canvas.rect(box, PAPER, LINE)
            canvas.text(box.middle, box.y + 15, room.name, 12, anchor="middle", bold=bool(room.lines))
            for number, line in enumerate(room.lines):
                canvas.text(box.middle, box.y + 28 + 11 * number, line, 9, anchor="middle", fill=FADED)


def _spread(box: Box, other: str, others: Iterable[str], places: Mapping[str, Box]) -> float:
    """Return the horizontal place of one of several arrows at a chip: in the order of their other ends."""
    ordered = sorted(others, key=lambda name: places[name].middle)
    return box.x + box.width * (ordered.index(other) + 1) / (len(ordered) + 1)


def draw_packages() -> str:
    """Draw parts, rooms and the arrows between them."""
    edges: dict[str, Edges] = {part: {room: set() for room in rooms_of(part)} for part in PARTS}
    between: set[tuple[str, str]] = set()
    for item in own_imports():
        start, end = part_of(item.importer), part_of(item.module)
        room, imported = room_of(item.importer), room_of(item.module)
        if start != end:
            between.add((start, end))
        elif room != imported and room in edges[start] and imported in edges[start]:
            edges[start][room].add(imported)
    plans = {part: Plan.of(edges[part], rooms_of(part)) for part in PARTS}
    height = 20 + sum(plan.height + 48 for plan in plans.values()) + 8
    canvas = Canvas(WIDTH, height, "The parts of routermcp and their rooms; arrows point to what is imported")
    top, frames = 20.0, dict[str, Box]()
    for part, plan in plans.items():
        frames[part] = Box(30, top, WIDTH - 60, plan.height + 24)
        canvas.rect(frames[part], PARTS[part])
        canvas.text(42, top + 17, part, 13, bold=True)
        plan.draw(canvas, frames[part])
        top += plan.height + 48
    order = list(PARTS)
    for index, (part, below) in enumerate(pairwise(order)):
        if (part, below) in between:
            x = WIDTH / 2
            canvas.path(f"M{x:g} {frames[part].bottom:g}L{x:g} {frames[below].y - 1:g}")
        for other in order[:index]:
            if (part, other) in between:
                x = WIDTH / 2 - 24
                canvas.path(f"M{x:g} {frames[part].y:g}V{frames[other].bottom + 1:g}", dash="3 3")
    return canvas.render()


# ---- one call ------------------------------------------------------------------------------

#: Calls before the recorded one: connections are open and caches filled by then.
WARM_UP = 5
#: Recorded calls, of which the most frequent course is drawn.
SAMPLES = 5
#: Pixels of a row, of a step to the right, and of a lane.
ROW, STEP, LANE = 17, 9, 385

LANES = ("routermcp", "routermcp_adapters", "routermcp_proto")


@dataclass(frozen=True)
class Entered:
    """A function that a call enters: what it is called, and the one that called it."""

    module: str
    name: str
    caller: tuple[str, str] | None
    """The nearest caller that is drawn; None for the first function."""
    resumed: bool
    """It ran after the answer had come."""


@dataclass
class Recorder:
    """Notes the public functions that one file calls in another, each once on the way down and up."""

    entered: list[Entered] = field(default_factory=list[Entered])
    _drawn: dict[CodeType, Entered] = field(default_factory=dict[CodeType, Entered])
    _answered: bool = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Take an event of ``sys.setprofile``."""
        module = _module(frame)
        if event != "call" or not module:
            return
        stack = [frame]
        while stack[-1].f_back is not None:
            stack.append(stack[-1].f_back)
        above = [each for each in stack[1:] if _module(each)]
        if not above and self.entered:
            self._answered = True  # the event loop has bytes for the call
            return
        name, code = frame.f_code.co_qualname, frame.f_code
        if (above and _module(above[0]) == module) or "<" in name or code in self._drawn:
            return
        cls, _, function = name.rpartition(".")
        if function == "__init__":
            name = cls
        elif function.startswith("_") or _is_property(frame, function):
            return
        caller = next((self._drawn[each.f_code] for each in above if each.f_code in self._drawn), None)
        entered = Entered(module, name, (caller.module, caller.name) if caller else None, self._answered)
        self._drawn[code] = entered
        self.entered.append(entered)


def _module(frame: FrameType) -> str:
    name = str(frame.f_globals.get("__name__"))
    return name if name.partition(".")[0] in LANES else ""


def _is_property(frame: FrameType, function: str) -> bool:
    owner: object = type(frame.f_locals.get("self"))
    return isinstance(getattr(owner, function, None), property)


async def record() -> tuple[Entered, ...]:
    """Return the functions that a tool call enters, in order."""
    samples: list[tuple[Entered, ...]] = []
    with bare_server.started() as url:
        async with RouterMCPClient(url) as client:
            for number in range(WARM_UP + SAMPLES):
                recorder = Recorder()
                if number >= WARM_UP:
                    sys.setprofile(recorder)
                await client.call_tool("echo", {"text": "a"})
                sys.setprofile(None)
                samples.append(tuple(recorder.entered))
    return Counter(samples[WARM_UP:]).most_common(1)[0][0]


def draw_call() -> str:
    """Draw the course of one tool call as a tree that runs from lane to lane."""
    course = asyncio.run(record())
    answered = next(number for number, each in enumerate(course) if each.resumed)
    height = 60 + ROW * (len(course) + 3) + 16
    canvas = Canvas(
        20 + LANE * len(LANES), height, "One client.call_tool(): the functions it enters, in order"
    )
    for number, lane in enumerate(LANES):
        box = Box(10 + LANE * number, 10, LANE - 6, height - 20)
        canvas.rect(box, PARTS[lane])
        canvas.text(box.x + 12, 30, lane, 13, bold=True)
    places: dict[tuple[str, str], tuple[float, float]] = {}
    depth: dict[tuple[str, str], int] = {}
    for number, each in enumerate(course):
        key, lane = (each.module, each.name), LANES.index(each.module.partition(".")[0])
        around = [c for c in _callers(each, course) if c[0].partition(".")[0] == LANES[lane]]
        depth[key] = len(around)
        y = 62 + ROW * (number + (3 if number >= answered else 0))
        x = 24 + LANE * lane + STEP * 2 * depth[key]
        label = f"{each.module.partition('.')[2]}: {each.name}"
        canvas.text(x, y, label, 10.5)
        if each.caller is not None:
            start_x, start_y = places[each.caller]
            canvas.path(f"M{start_x:g} {start_y:g}V{y - 4:g}H{x - 3:g}")
        places.setdefault(key, (x + 4, y + 4))
    y = 62 + ROW * answered
    canvas.path(f"M10 {y + 10:g}H{10 + LANE * len(LANES) - 6:g}", arrow=False, dash="5 4")
    canvas.text(24, y + 4, "down: the request is on its way", 10.5, fill=FADED, bold=True)
    canvas.text(24, y + 25, "up: the answer is there", 10.5, fill=FADED, bold=True)
    return canvas.render()


def _callers(entered: Entered, course: tuple[Entered, ...]) -> list[tuple[str, str]]:
    by_name = {(each.module, each.name): each for each in reversed(course)}
    found: list[tuple[str, str]] = []
    caller = entered.caller
    while caller is not None:
        found.append(caller)
        caller = by_name[caller].caller
    return found


# ---- the states ----------------------------------------------------------------------------

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


# ---- all -----------------------------------------------------------------------------------


def main() -> int:
    """Write the pictures, or compare them; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail where a picture is stale")
    options = parser.parse_args()
    drawn = {"packages.svg": draw_packages(), "call.svg": draw_call(), "states.svg": draw_states()}
    stale: list[str] = []
    for name, picture in drawn.items():
        path = PICTURES / name
        if options.check:
            if not path.exists() or path.read_text() != picture:
                stale.append(name)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(picture)
    if stale:
        print(f"stale in docs/pictures: {', '.join(stale)}; run scripts/pictures.py")
        return 1
    print("docs/pictures is fresh" if options.check else "docs/pictures is drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
