"""The memory that a JSON text takes once it is decoded, and what it holds, found before it is.

Python needs 64 bytes for ``{}`` and 192 for ``{"a":0}``, so that a message of 20 MB may take 800. The text
is read for its marks alone, with the fast searches of :class:`bytes`; that is dearest where each byte is a
mark, and still quicker than decoding such a text. The estimate is what CPython 3.11 takes, or more; later
ones need a little less.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_core import from_json

#: Bytes of memory that a text may take for each of its own, and beside them.
PER_BYTE = 10
FREE = 32 * 1024 * 1024

#: Objects and arrays of a text, ten for each of 100,000 tools and some around them; a message of more than
#: 64 MiB, where those are allowed, has one for each 64 bytes. Decoding as many stops everything else for less
#: than a second.
MAX_CONTAINERS, BYTES_PER_CONTAINER = 1_001_000, 64

#: Bytes of a text below which it cannot take more, and what the dearest text takes for each of its own:
#: ``[[[...]]]``, or ``{"a":{"a":...}}`` where each letter is a new string.
MIN_COUNTED, DEAREST = 1_000_000, 43

#: Bytes of an object without members, and what the first five members add to it.
EMPTY_OBJECT, FIRST_MEMBERS = 64, 128
FEW = 5

#: Bytes of each further member, beside its place.
FURTHER_MEMBER = 20

#: Bytes of an array, and of the place of each value in one: its pointer, which is there twice in the end.
ARRAY, PLACE = 80, 16

#: Bytes of a number; those of one and two digits are there already.
LONG_NUMBER = 32

#: Bytes of a string beside its characters. One wide character makes four bytes of each.
STRING, WIDE_STRING, WIDE = 64, 80, 4

#: Strings that the decoder keeps to use them again: a quarter of its places, so that few drive out others.
KEPT_STRINGS, KEPT_LENGTH = 4096, 64

#: Up to how many characters it need not keep them, as there is one of each. An older pydantic-core makes a
#: new string of each letter.
SHARED_LENGTH = 1 if from_json(b'"a"') is from_json(b'"a"') else 0

#: Bytes of a text that are taken apart at once.
_PIECE = 16 * 1024

_BLANKS = b" \t\r\n"

# Most of a text is no mark: taking the marks out in one pass saves four passes over all of it.
_NO_MARKS = bytes(sorted(set(range(256)) - set(b'{[:,"')))

# Every end of a value as a comma, every character of a number or name as a digit.
_NUMBERS_ONLY = bytes(c if c in b'[{:"' else ord(",") if c in b",]}" else ord("0") for c in range(256))


def bound_of(payload: bytes | bytearray | str) -> int | None:
    """Return the most bytes of memory that a text takes, or None where it is not to be decoded.

    That is a text which takes more memory than its size allows for, or holds too many containers. The bound
    is found much sooner than what :func:`memory_of` returns, and up to three times as large.

    Args:
        payload: A JSON text of at least :data:`MIN_COUNTED`; a shorter one is always decoded.
    """
    data = _encoded(payload)
    memory, containers = PER_BYTE * len(data) + FREE, max(MAX_CONTAINERS, len(data) // BYTES_PER_CONTAINER)

    def is_over(sums: tuple[int, int]) -> bool:
        return sums[0] > memory or sums[1] > containers

    bounds = _at_most(data)
    return None if is_over(bounds) and any(map(is_over, _running_sums(data))) else bounds[0]


def memory_of(payload: bytes | bytearray | str) -> int:
    """Return the bytes of memory that a JSON text takes, whether it is valid or not."""
    *_, (memory, _) = _running_sums(_encoded(payload))
    return memory


def _encoded(payload: bytes | bytearray | str) -> bytes | bytearray:
    return payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload


def _at_most(data: bytes | bytearray) -> tuple[int, int]:
    """Return bounds for the sums that are found sooner: each string is new, and marks in strings count."""
    marks = data.translate(None, _NO_MARKS)
    objects, arrays, colons, commas = (marks.count(mark) for mark in (b"{", b"[", b":", b","))
    strings = (len(marks) - objects - arrays - colons - commas) // 2 + 1  # quotes are the only others
    memory = (
        objects * (EMPTY_OBJECT + FIRST_MEMBERS)
        + max(0, colons - FEW * objects) * FURTHER_MEMBER
        + arrays * ARRAY
        + commas * PLACE
        # A place holds a number where it holds no string. A mark in a string makes the sum no smaller.
        + max(0, commas + colons + arrays - strings) * LONG_NUMBER
        + _memory_of_strings(strings, len(data), _is_wide(data))
    )
    return memory, objects + arrays


def _running_sums(data: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield the bytes of memory, and the objects and arrays, of what was read so far; piece by piece."""
    is_wide = _is_wide(data)
    if b"\\" in data:  # where a string ends matters, not which character an escape stands for
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    kept: set[bytes] = set()
    total, containers, filled, members, inside = 0, 0, 0, 0, 0
    for start in range(0, len(data), _PIECE):
        parts = bytes(data[start : start + _PIECE]).split(b'"')
        strings, marks = parts[1 - inside :: 2], b"".join(parts[inside::2]).translate(None, _BLANKS)
        inside ^= (len(parts) - 1) & 1
        first: set[bytes] = set()
        if len(kept) < KEPT_STRINGS:
            first = {string for string in set(strings) - kept if 1 < len(string) < KEPT_LENGTH}
            kept |= first
        new = [
            *first,
            *(string for string in strings if len(string) > SHARED_LENGTH and string not in kept),
        ]
        objects, arrays, empty = (marks.count(mark) for mark in (b"{", b"[", b"{}"))
        containers += objects + arrays
        filled, members = filled + objects - empty, members + marks.count(b":")
        total += objects * EMPTY_OBJECT + (objects - empty) * FIRST_MEMBERS
        total += arrays * ARRAY + marks.count(b",") * PLACE
        total += marks.translate(_NUMBERS_ONLY).count(b"000,") * LONG_NUMBER
        total += _memory_of_strings(len(new), sum(map(len, new)), is_wide)
        yield total + max(0, members - FEW * filled) * FURTHER_MEMBER, containers


def _is_wide(data: bytes | bytearray) -> bool:
    return not data.isascii() or (b"\\" in data and b"\\u" in data)  # one byte is found far sooner than two


def _memory_of_strings(count: int, size: int, is_wide: bool) -> int:
    return count * (WIDE_STRING if is_wide else STRING) + size * (WIDE if is_wide else 1)
