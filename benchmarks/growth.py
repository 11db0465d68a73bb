"""How steep a line is on logarithmic axes: 1 for what grows as its size does, 2 for its square."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: The steepest that a line may be: each decade adds up to 2.2x to the cost of one, which is what
#: ``bench_http.py`` allows of a crowd, and includes what the machine adds. The square is at 2.
MOST_SLOPE = 1.35


def slope(start: tuple[float, float], end: tuple[float, float]) -> float:
    """Return the slope between two points, both axes being logarithmic."""
    return math.log(end[1] / start[1]) / math.log(end[0] / start[0])


def steepest(points: Sequence[tuple[float, float]], first: float) -> float:
    """Return the greater of two slopes: of the last step, and of the way from a size to the end."""
    start = next(point for point in points if point[0] >= first)
    return max(slope(start, points[-1]), slope(points[-2], points[-1]))
