"""Reading the results of answers: tolerantly, and long lists in slices.

The whole is validated at once, which is fast; only where that fails, a list is read entry by
entry, and a bad entry costs itself and a warning. A list is counted before its models are made,
which take forty times the bytes of the shortest entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, get_args

from pydantic import ValidationError

from ..exceptions import ResponseValidationError
from ..json_memory import FREE, PER_BYTE
from ..value_class import value_class

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from .base import WireModel

#: Problems that an error or a warning lists: the first few show the mistake.
MAX_ANSWER_PROBLEMS = 20

#: Characters of one line about a problem: it may quote a key or a name of the peer.
MAX_PROBLEM_LENGTH = 300

#: Warnings about single entries; the rest are counted in one more.
MAX_ENTRY_WARNINGS = 100

#: Bad entries after which a list is rejected. Far more than a broken server behind a gateway
#: has tools, and at a few microseconds each still below a second.
MAX_BAD_ENTRIES = 100_000

#: Members that help people or later requests: one of the wrong kind counts as missing.
NOT_NEEDED = frozenset({"description", "mimeType", "nextCursor", "outputSchema", "title"})

#: Times that an object is read, each time without the members that were of the wrong kind: lists
#: stop at their first, and an answer that has more of them is beyond use.
MAX_READINGS = 8

#: Models of a list that are made at once: in less time than a request takes over the network.
MAX_AT_ONCE = 20_000

#: Models of each slice of a longer list: 5 ms, after which other work has its turn, and little
#: enough that the collector finds them in the processor's cache.
SLICE = 1_000

#: Entries of a list, all pages together: twice the 100,000 tools that routermcp is built for.
MAX_LIST_ENTRIES = 200_000

#: Bytes of a list, all pages together: 100,000 tools with long schemas have half of that.
MAX_LIST_SIZE = 256 * 1024 * 1024

#: Bytes of a model beside those of the decoded object that it is made of, which it replaces.
BYTES_OF_MODEL = 560

#: Bytes of memory that a list may take beside ten times its own: 60,000 of the shortest tools, and more where
#: a limit of entries is above :data:`MAX_LIST_ENTRIES`. 100,000 tools have 200 bytes each, and often 1,000.
FREE_FOR_LIST = 2 * FREE

#: Models of an entry besides those of its parts; a tool has a schema, be it sent or not.
MODELS_PER_ENTRY = {"tools": 2}

#: The members of an entry that hold models.
MODEL_MEMBERS = ("annotations", "arguments", "icons")

ResultT = TypeVar("ResultT", bound="WireModel")
EntryT = TypeVar("EntryT", bound="WireModel")


@value_class
class ListLimits:
    """What one list may hold, all pages together."""

    max_entries: int = MAX_LIST_ENTRIES
    max_size: int = MAX_LIST_SIZE
    """Bytes of the messages that the pages came in."""


class Page(Protocol):
    """The message that a page of a list came in."""

    @property
    def size(self) -> int:
        """Its bytes."""
        ...

    def memory_at_most(self) -> int:
        """Return a bound, which is known, for the bytes of memory that it takes decoded."""
        ...

    def memory(self) -> int:
        """Return the bytes of memory that it takes decoded, which are counted now."""
        ...


class ListBudget:
    """What is left for one list.

    Args:
        limits: What it may hold.
    """

    __slots__ = ("_entries", "_limits", "_memory", "_reserve", "_size")

    def __init__(self, limits: ListLimits) -> None:
        self._limits = limits
        self._entries = limits.max_entries
        self._size = limits.max_size
        self._memory = FREE_FOR_LIST * max(limits.max_entries, MAX_LIST_ENTRIES) // MAX_LIST_ENTRIES
        # What bounds may not take, which are up to ten times what the pages take.
        self._reserve = self._memory // 2

    def take(self, method: str, entries: int, page: Page, models: int = 0) -> None:
        """Count a page.

        Args:
            method: The method that it answers.
            entries: Its entries.
            page: Its message.
            models: The models that are made of it.

        Raises:
            ResponseValidationError: The list is too long, or too large.
        """
        self._entries -= entries
        self._size -= page.size
        room = self._memory + PER_BYTE * page.size - BYTES_OF_MODEL * models
        bound = page.memory_at_most()
        self._memory = room - (bound if bound <= room - self._reserve else page.memory())
        if self._entries < 0:
            problem = f"has more than max_list_entries={self._limits.max_entries} entries"
        elif self._size < 0:
            problem = f"takes more than max_list_size={self._limits.max_size} bytes"
        elif self._memory < 0:
            problem = (
                f"has too many short entries or small parts: in memory, it would take more than {PER_BYTE} "
                f"times its bytes and what max_list_entries={self._limits.max_entries} allows for"
            )
        else:
            return
        raise ResponseValidationError(
            f"the server's list for {method} {problem}; give the client a larger limit, or read the list "
            "page by page with the *_page method",
            method=method,
        )


@value_class
class Parsed(Generic[ResultT]):
    """A result, and warnings about the entries that were left out of it."""

    value: ResultT
    warnings: tuple[str, ...] = ()


def read_tolerantly(
    method: str,
    model: type[ResultT],
    result: dict[str, Any],
    problems: tuple[str, ...],
    warnings: tuple[str, ...] = (),
) -> Parsed[ResultT]:
    """Read a result without the members that are of the wrong kind and :data:`NOT_NEEDED`.

    Args:
        method: The method that it answers.
        model: Its type.
        result: The result, decoded.
        problems: What is wrong with it, where that was found out.
        warnings: What was left out of it before.

    Raises:
        ResponseValidationError: It does not have that shape in spite of it.
    """
    value, lines = _read(model, result)
    if value is None:
        raise _misshapen(method, problems or lines)
    return Parsed(value, warnings + tuple(_cut(f"{method}: left out {line}") for line in lines))


class ListReader(Generic[ResultT]):
    """Reads a page of a list, a long one in slices.

    Args:
        method: The method that it answers.
        model: The type of the page.
        items: The member that holds the list.
        result: The page, decoded.
        consumes: Whether the entries of a long page are taken out of ``result`` as they are read.
    """

    __slots__ = (
        "_bad",
        "_consumes",
        "_entries",
        "_good",
        "_items",
        "_method",
        "_model",
        "_own",
        "_problems",
        "_result",
        "_slices",
        "_unnamed",
        "_warnings",
        "_whole",
        "models",
    )

    def __init__(
        self,
        method: str,
        model: type[ResultT],
        items: str,
        result: dict[str, Any],
        *,
        consumes: bool = False,
    ) -> None:
        self._method = method
        self._model = model
        self._items = items
        self._result = result
        self._consumes = consumes
        entries = result.get(items)
        self._entries: list[Any] | None = entries if isinstance(entries, list) else None
        self._own = MODELS_PER_ENTRY.get(items, 1)
        self.models, self._slices = self._counted(self._entries or [])
        """The models that are made of the page."""
        self._whole: ResultT | None = None
        self._good: list[WireModel] = []
        self._problems: tuple[str, ...] = ()
        self._warnings: list[str] = []
        self._bad = self._unnamed = 0

    def __len__(self) -> int:
        return len(self._entries or ())

    def read_slices(self) -> Iterator[ResultT]:
        """Read slice by slice. Each is a page of its own, out of which entries may be taken.

        Raises:
            ResponseValidationError: Nothing but bad entries came.
        """
        if self.models <= MAX_AT_ONCE:
            try:
                self._whole = self._model.model_validate(self._result)
            except ValidationError as error:
                self._problems = problem_lines(error)
            else:
                yield self._whole
                return
        entries = self._entries or []
        start = 0
        for end in self._slices:
            part = self._read_slice(entries[start:end], start)
            if self._consumes:
                entries[start:end] = [None] * (end - start)  # the models need the memory
            yield part
            self._good += getattr(part, self._items)
            start = end

    def _counted(self, entries: list[Any]) -> tuple[int, list[int]]:
        """Return how many models are made of the entries, and the end of each slice of them."""
        whole = models = 0
        ends: list[int] = []
        for end, entry in enumerate(entries, 1):
            models += self._own
            if isinstance(entry, dict):
                members = cast("dict[str, Any]", entry)
                for name in MODEL_MEMBERS:
                    part = members.get(name)
                    if part:
                        models += len(cast("list[Any]", part)) if isinstance(part, list) else 1
            if models >= SLICE or end == len(entries):
                ends.append(end)
                whole, models = whole + models, 0
        return whole, ends

    def parsed(self) -> Parsed[ResultT]:
        """Return the page, after all slices.

        Raises:
            ResponseValidationError: It does not have the shape of a page.
        """
        if self._whole is not None:
            return Parsed(self._whole)
        if self._unnamed:
            self._warnings.append(f"{self._method}: left out {self._unnamed} more entries of {self._items}")
        result = self._result if self._entries is None else {**self._result, self._items: self._good}
        problems = () if self._warnings else self._problems
        return read_tolerantly(self._method, self._model, result, problems, tuple(self._warnings))

    def read_all(self) -> Parsed[ResultT]:
        """Read all slices at once, and return the page.

        Raises:
            ResponseValidationError: It does not have the shape of a page.
        """
        for _ in self.read_slices():
            pass
        return self.parsed()

    def _read_slice(self, entries: list[Any], start: int) -> ResultT:
        try:
            return self._model.model_validate({self._items: entries})
        except ValidationError:
            return self._model.model_validate({self._items: self._good_entries(entries, start)})

    def _good_entries(self, entries: list[Any], start: int) -> list[WireModel]:
        """Read entry by entry; return the good ones, and note warnings about the others."""
        (entry_type,) = cast(
            "tuple[type[WireModel]]", get_args(self._model.model_fields[self._items].annotation)
        )
        good: list[WireModel] = []
        for index, entry in enumerate(entries, start):
            value, lines = _read(entry_type, entry)
            if value is not None:
                good.append(value)
                if not lines:
                    continue
            else:
                self._bad += 1
            self._warn(index, entry, lines, whole=value is None)
            if self._bad > MAX_BAD_ENTRIES:
                problem = f"{self._items}: more than {MAX_BAD_ENTRIES} entries are malformed"
                raise _misshapen(self._method, (problem, *self._warnings[: MAX_ANSWER_PROBLEMS - 1]))
        return good

    def _warn(self, index: int, entry: Any, lines: tuple[str, ...], *, whole: bool) -> None:
        if len(self._warnings) >= MAX_ENTRY_WARNINGS:
            self._unnamed += 1
            return
        part = "" if whole else "parts of "
        place = f"{self._items}[{index}]{_name_of(entry)}"
        self._warnings.append(_cut(f"{self._method}: left out {part}{place}: {'; '.join(lines)}"))


def _read(model: type[EntryT], value: Any) -> tuple[EntryT | None, tuple[str, ...]]:
    """Read an object, without the members that are of the wrong kind and :data:`NOT_NEEDED`.

    Returns:
        The model, with a line for each member that was left out; or None, with the first problems.
    """
    lines: tuple[str, ...] = ()
    for _ in range(MAX_READINGS):
        try:
            return model.model_validate(value), lines
        except ValidationError as error:
            problems = problem_lines(error)
            places = [each["loc"] for each in error.errors(include_url=False, include_input=False)]
        for place in places[:MAX_ANSWER_PROBLEMS]:
            value = _without(value, place)
            if value is None:
                return None, lines or problems
        lines += problems
    return None, lines


def _without(value: Any, place: tuple[int | str, ...]) -> Any:
    """Return a JSON value without the member at a place, None where it is missing or needed."""
    if not place:
        return None
    key, inner = place[0], place[1:]
    if not inner:
        if not isinstance(value, dict) or key not in value or key not in NOT_NEEDED:
            return None
        members = cast("dict[Any, Any]", value)
        return {name: member for name, member in members.items() if name != key}
    part = _without(value[key], inner)
    if part is None:
        return None
    changed = value.copy()
    changed[key] = part
    return changed


def _cut(text: str) -> str:
    return text if len(text) <= MAX_PROBLEM_LENGTH else f"{text[: MAX_PROBLEM_LENGTH - 3]}..."


def _name_of(entry: Any) -> str:
    name = cast("dict[str, Any]", entry).get("name") if isinstance(entry, dict) else None
    return f" ({name[:80]!r})" if isinstance(name, str) else ""


def _problem(detail: ErrorDetails) -> str:
    place = ".".join(str(step)[:80] for step in detail["loc"])
    return _cut(f"{place}: {detail['msg']}" if place else detail["msg"])


def problem_lines(error: ValidationError) -> tuple[str, ...]:
    """Return one line for each problem; never the values, which may be private."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(_problem(detail) for detail in details[:MAX_ANSWER_PROBLEMS])


def _misshapen(method: str, problems: tuple[str, ...]) -> ResponseValidationError:
    message = f"the server's answer to {method} does not have the expected shape: {'; '.join(problems[:3])}"
    return ResponseValidationError(message, method=method, problems=problems)
