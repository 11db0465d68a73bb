"""The picture of one tool call, as it was recorded."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field
from types import CodeType, FrameType

import bare_server
from drawing.canvas import FADED, Box, Canvas
from drawing.packages import PARTS

from routermcp import RouterMCPClient

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
