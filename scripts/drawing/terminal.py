"""The picture of ``routermcp demo`` in a terminal, from docs/pictures/demo.txt.

The file holds what the command printed on an idle machine; tests/cli/test_demo.py sees that it prints the
same but for the times. A new recording is made by ``routermcp demo`` in a wide terminal.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from .canvas import CHARACTER

RECORDING = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "demo.txt"

#: Pixels of a character, of a line, around the text, and of the bar above it.
SIZE, LINE, MARGIN, BAR = 13, 19, 18, 30

# The page says which of the two it is: the picture has no background of the page behind it.
_STYLE = """
svg { --paper: #fbfaf7; --bar: #e4e7eb; --ink: #1f2933; --faded: #52606d; --good: #23704a }
@media (prefers-color-scheme: dark) {
svg { --paper: #161b22; --bar: #2a313c; --ink: #e6edf3; --faded: #9aa5b1; --good: #56d364 }
}
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace;
white-space: pre; fill: var(--ink) }
.command { font-weight: bold } .faded { fill: var(--faded) } .good { fill: var(--good) }
"""


def draw_demo() -> str:
    """Draw a window with the recorded lines."""
    lines = RECORDING.read_text(encoding="utf-8").splitlines()
    width = round(max(map(len, lines)) * SIZE * CHARACTER) + 2 * MARGIN
    height = BAR + len(lines) * LINE + 2 * MARGIN - LINE // 2
    texts = [
        f'<text x="{MARGIN}" y="{BAR + MARGIN + number * LINE + SIZE // 2}">{_spans(line)}</text>'
        for number, line in enumerate(lines)
        if line
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img">',
            "<title>routermcp demo in a terminal: three runtimes call a local gateway</title>",
            f"<style>{_STYLE}</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="var(--paper)"/>',
            f'<path d="M0 {BAR}V8A8 8 0 0 1 8 0H{width - 8}A8 8 0 0 1 {width} 8V{BAR}z" fill="var(--bar)"/>',
            *texts,
            "</svg>\n",
        ]
    )


def _spans(line: str) -> str:
    """Return a line with what a terminal would colour."""
    text = escape(line)
    if line.startswith("$ "):
        return f'<tspan class="faded">$ </tspan><tspan class="command">{text[2:]}</tspan>'
    if line.endswith(": ok"):
        return f'{text[:-2]}<tspan class="good">ok</tspan>'
    if line.startswith(("runtime ", "─")):
        return f'<tspan class="faded">{text}</tspan>'
    return text
