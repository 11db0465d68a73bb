"""The picture of the parts of the project, their rooms and the imports between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from itertools import pairwise
from textwrap import wrap

from drawing.canvas import FADED, LINE, PAPER, Box, Canvas, text_width

from tests.structure.imports import PACKAGES, files, own_imports

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
