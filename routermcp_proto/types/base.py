"""The common base of all models of the wire.

A client reads answers of servers of every revision and quality, so the models are
tolerant: unknown members are kept, members that an older revision lacks have a
default, and a malformed optional member (an icon, a hint, ``_meta``) counts as missing
instead of invalidating the answer. Attribute names are the wire's own; only
``_meta`` is ``meta``, because pydantic does not allow a field to begin with ``_``.

Source: https://modelcontextprotocol.io/specification/2026-07-28/schema
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class WireModel(BaseModel):
    """Base of all models: keeps unknown members."""

    # A peer's input may hold secrets, and errors of pydantic would repeat it.
    model_config = ConfigDict(extra="allow", populate_by_name=True, hide_input_in_errors=True)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object for the wire, without members that were never set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


@dataclass(frozen=True, slots=True)
class Lenient:
    """Mark a field whose malformed value counts as missing."""

    fallback: Callable[[], Any] = lambda: None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(
            handler(source), default_factory=self.fallback, on_error="default"
        )


def _empty_list_for_null(value: Any) -> Any:
    return [] if value is None else value


def _false_for_null(value: Any) -> Any:
    return False if value is None else value


def _sizes_as_list(value: Any) -> Any:
    return value.split() if isinstance(value, str) else value


#: A list that may arrive as null: servers written in Go encode a nil slice that way.
EmptyForNull = BeforeValidator(_empty_list_for_null)

#: A flag that may arrive as null.
FalseForNull = BeforeValidator(_false_for_null)

#: The ``_meta`` member (MCP 2026-07-28, Base Protocol, ``_meta``).
Meta = Annotated[
    dict[str, Any] | None, Lenient(), Field(validation_alias="_meta", serialization_alias="_meta")
]


@dataclass(frozen=True, slots=True)
class _FailFast:
    """Pydantic's own marker of this kind cannot be hashed, hence not be part of a union."""

    max_length: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = {**handler(source), "fail_fast": True}
        return cast(
            "CoreSchema", schema if self.max_length is None else schema | {"max_length": self.max_length}
        )


#: Lists stop at their first bad entry: pydantic's report of millions of bad ones would take
#: many times the memory of the message.
FAIL_FAST = _FailFast()

#: Entries of a list in an entry of a list, or in an answer that is not a list: a folder read as one
#: resource has thousands, icons and arguments are a few. Each becomes a model, of up to 2 KiB.
MAX_PARTS = 10_000

#: Such a list, which stops at its first bad entry too.
PARTS = _FailFast(MAX_PARTS)

Strings = Annotated[list[str], FAIL_FAST]
Objects = Annotated[list[dict[str, Any]], FAIL_FAST]


class Icon(WireModel):
    """An image that stands for a tool, a resource, a prompt or an implementation.

    Attributes:
        src: URL of the image, ``http:``, ``https:`` or ``data:``.
        sizes: Sizes such as ``48x48`` or ``any``.
        theme: ``light`` or ``dark``, the background that the image is made for.
    """

    src: str
    mimeType: str | None = None
    sizes: Annotated[Strings | None, BeforeValidator(_sizes_as_list), Lenient()] = None
    theme: str | None = None


Icons = Annotated[Annotated[list[Icon], PARTS] | None, Lenient()]


class Annotations(WireModel):
    """Hints about how to use a resource or a piece of content.

    Attributes:
        audience: Roles that it is meant for, ``user`` and ``assistant``.
        priority: Importance from 0 (optional) to 1 (required).
        lastModified: Time of the last change, ISO 8601.
    """

    audience: Annotated[Strings | None, Lenient()] = None
    priority: Annotated[float | None, Lenient()] = None
    lastModified: Annotated[str | None, Lenient()] = None


OptionalAnnotations = Annotated[Annotations | None, Lenient()]


class EmptyResult(WireModel):
    """An answer that only confirms the request."""

    meta: Meta = None


#: The longest ``ttlMs``, thirty years. A larger one is malformed: times are kept as floating point.
MAX_TTL_MS = 10**12


class CacheableResult(WireModel):
    """An answer that may be cached (2026-07-28 on).

    Attributes:
        ttlMs: Milliseconds for which the answer stays fresh; 0 means not to cache it.
        cacheScope: ``public`` answers are the same for every user.
    """

    ttlMs: Annotated[int, Field(ge=0, le=MAX_TTL_MS), Lenient(int)] = 0
    cacheScope: Annotated[Literal["public", "private"], Lenient(lambda: "private")] = "private"
    meta: Meta = None


class PaginatedResult(CacheableResult):
    """One page of a list.

    Attributes:
        nextCursor: An opaque token for the next page; None on the last page.
    """

    nextCursor: str | None = None
