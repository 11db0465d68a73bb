"""A small SVG canvas: boxes, arrows and text whose widths are known, so that overlaps are errors.

All text is monospace, so a width is a number of characters. Each picture has a light background of
its own and is readable on a light and on a dark page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax.saxutils import escape

#: Width of a character of the monospace fonts named below, as a part of the font's size.
CHARACTER = 0.62

INK, FADED, PAPER, LINE = "#1f2933", "#52606d", "#fbfaf7", "#7b8794"

_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


@dataclass(frozen=True)
class Box:
    """A rectangle on the canvas, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """The horizontal middle."""
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height

    def overlaps(self, other: Box) -> bool:
        """Return whether two boxes have an area in common."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.bottom
            and other.y < self.bottom
        )


def text_width(text: str, size: float) -> float:
    """Return the width of a text in pixels."""
    return len(text) * size * CHARACTER


@dataclass
class Canvas:
    """A picture under construction.

    Attributes:
        width: Pixels.
        height: Pixels.
        title: The picture in a few words, for readers who do not see it.
    """

    width: float
    height: float
    title: str
    _shapes: list[str] = field(default_factory=list[str])
    _above: list[str] = field(default_factory=list[str])
    _texts: list[tuple[Box, str]] = field(default_factory=list[tuple[Box, str]])

    def rect(self, box: Box, fill: str, stroke: str = "none", dash: str = "") -> None:
        """Draw a rectangle with round corners."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._shapes.append(
            f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="5" '
            f'fill="{fill}" stroke="{stroke}"{dashed}/>'
        )

    def path(self, points: str, stroke: str = LINE, *, arrow: bool = True, dash: str = "") -> None:
        """Draw a line along SVG path data, below all text."""
        end = ' marker-end="url(#arrow)"' if arrow else ""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._shapes.append(f'<path d="{points}" fill="none" stroke="{stroke}"{dashed}{end}/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 12,
        *,
        anchor: str = "start",
        fill: str = INK,
        bold: bool = False,
        backed: bool = False,
    ) -> None:
        """Write a line of text on the base line `y`; `backed` covers the lines behind it.

        Raises:
            ValueError: It overlaps another text, or leaves the canvas.
        """
        width = text_width(text, size)
        left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
        box = Box(left, y - size * 0.8, width, size)
        for other, said in self._texts:
            if box.overlaps(other):
                raise ValueError(f"{text!r} overlaps {said!r} in the picture {self.title!r}")
        if box.x < 0 or box.y < 0 or box.x + box.width > self.width or box.bottom > self.height:
            raise ValueError(f"{text!r} leaves the picture {self.title!r}")
        self._texts.append((box, text))
        if backed:
            self._above.append(
                f'<rect x="{box.x - 3:.1f}" y="{box.y - 1:.1f}" width="{width + 6:.1f}" '
                f'height="{size + 2:g}" fill="{PAPER}"/>'
            )
        weight = ' font-weight="bold"' if bold else ""
        self._above.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" '
            f'fill="{fill}"{weight}>{escape(text)}</text>'
        )

    def render(self) -> str:
        """Return the picture as the text of an SVG file."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
                f'width="{self.width:g}" height="{self.height:g}" font-family="{_FONT}" role="img">',
                f"<title>{escape(self.title)}</title>",
                '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
                f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>',
                f'<rect width="{self.width:g}" height="{self.height:g}" rx="8" fill="{PAPER}"/>',
                *self._shapes,
                *self._above,
                "</svg>\n",
            ]
        )
