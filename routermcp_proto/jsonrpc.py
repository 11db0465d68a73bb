"""The JSON-RPC codec: bytes to messages and back.

Decoding accepts any bytes and never raises: malformed input becomes :class:`Invalid`, which
costs that message alone. Deviations of real servers that leave no doubt about the meaning are
accepted in answers: an id as text or as ``3.0``, ``null`` beside the other member, an error that
is a text, an array of one message, a lone surrogate, a byte order mark, ``NaN``. Encoding refuses
values that JSON cannot hold, and names their place.

Source: https://www.jsonrpc.org/specification and
https://modelcontextprotocol.io/specification/2026-07-28/basic, section "Messages".
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import field
from functools import lru_cache
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json, to_jsonable_python

from .error_codes import INVALID_REQUEST, NO_CODE, PARSE_ERROR
from .exceptions import LocalProtocolError
from .json_memory import DEAREST, FREE, MAX_CONTAINERS, MIN_COUNTED, PER_BYTE, bound_of, memory_of
from .value_class import value_class

RequestId = int | str


#: Messages in one batch (MCP 2025-03-26). More than clients send, few enough that a hostile
#: array of small messages costs milliseconds.
MAX_BATCH = 1_000

#: Characters that are kept of an error's text that is not in its ``message`` member.
MAX_ERROR_WORDS = 1_000

#: Digits of an id or a code that is read as a number although it came as text.
MAX_DIGITS = 18

#: Bytes in which a message begins, after blanks and a byte order mark.
_SNIFFED = 64

#: Bytes of the longest message that is mended, which takes ten times as long as reading it.
MAX_MENDED = 4 * 1024 * 1024

#: Bytes of a message that is too large in which its id is looked for.
_BEGINNING = 256

_TOO_DEAR = (
    f"decoded, it would take more memory than {PER_BYTE} times its size and {FREE >> 20} MiB, "
    f"or hold more than {MAX_CONTAINERS} objects and arrays"
)

#: Levels at which the search for a value that cannot be encoded stops.
MAX_SEARCH_DEPTH = 50


@value_class
class Request:
    """A message that expects an answer."""

    id: RequestId
    method: str
    params: dict[str, Any]


@value_class
class Notification:
    """A message that expects no answer."""

    method: str
    params: dict[str, Any]


@value_class
class Response:
    """The answer to a request."""

    id: RequestId
    result: dict[str, Any]
    size: int = field(default=0, compare=False)
    """Bytes of the message, of its share in a batch."""
    text: bytes | bytearray | str = field(default=b"", compare=False, repr=False)
    """What it was decoded from: the message, or the batch that it is part of."""
    bound: int = field(default=0, compare=False, repr=False)
    """Bytes of memory that `text` takes decoded at most, where they were counted."""

    def memory_at_most(self) -> int:
        """Return the most bytes of memory that the message takes decoded, which is known already."""
        return self._share_of(self.bound or DEAREST * len(self.text))

    def memory(self) -> int:
        """Return the bytes of memory that the message takes decoded, which are counted now."""
        return self._share_of(memory_of(self.text))

    def _share_of(self, memory: int) -> int:
        """Return the share of the message in what a batch takes."""
        return memory * self.size // max(len(self.text), 1)


@value_class
class ErrorObject:
    """The ``error`` member of an answer: code, message and data."""

    code: int
    message: str
    data: Any = None


@value_class
class ErrorResponse:
    """The answer to a request that failed; `id` is None where the request's could not be read."""

    id: RequestId | None
    error: ErrorObject


@value_class
class Invalid:
    """Input that is not a JSON-RPC message."""

    problem: str
    id: RequestId | None
    """The id, if it could be read."""
    code: int
    """The code of the error to answer with: -32700 or -32600."""


Message = Request | Notification | Response | ErrorResponse | Invalid


def decode(
    payload: bytes | bytearray | str,
    *,
    batches: bool = False,
    strict: bool = False,
) -> tuple[Message, ...]:
    """Decode a message or a batch. Never raises.

    Args:
        payload: One JSON text.
        batches: An array of messages is allowed.
        strict: Refuse messages with ``NaN`` and ``Infinity``, which RFC 8259 does not know.
    """
    bound = 0
    if len(payload) >= MIN_COUNTED:
        counted = bound_of(payload)
        if counted is None:
            return (Invalid(_TOO_DEAR, _id_at_the_start(payload), INVALID_REQUEST),)
        bound = counted
    try:
        value: Any = from_json(payload, allow_inf_nan=not strict)
    except (ValueError, TypeError) as error:
        # TypeError: text with half of a surrogate pair, which has no UTF-8.
        if not _may_be_jsonrpc(payload):
            return (Invalid(f"not JSON: {error}", None, PARSE_ERROR),)
        try:
            value = from_json(_mended_json(payload), allow_inf_nan=not strict)
        except (ValueError, TypeError, RecursionError):
            problem = f"not JSON: {error}"
            read = decode(payload, batches=batches) if strict else (Invalid(problem, None, PARSE_ERROR),)
            return tuple(_refused(each, problem) for each in read)
    if type(value) is dict:
        return (_read_message(cast("dict[str, Any]", value), len(payload), payload, bound),)
    if type(value) is list:
        return _read_batch(cast("list[Any]", value), batches, payload, bound)
    return (Invalid(f"a message is an object, not {_json_type(value)}", None, INVALID_REQUEST),)


def _refused(message: Message, problem: str) -> Invalid:
    """Refuse a message that can be read, but not strictly; the call that it answers hears of it."""
    if isinstance(message, Invalid):
        return message
    answered = message.id if isinstance(message, Response | ErrorResponse) else None
    return Invalid(problem, answered, PARSE_ERROR)


def _may_be_jsonrpc(payload: bytes | bytearray | str) -> bool:
    """Return whether a text that is not JSON begins as a message does; other programs' lines do not."""
    begin = payload[:_SNIFFED] if isinstance(payload, str) else payload[:_SNIFFED].decode("utf-8", "replace")
    return begin.lstrip("\ufeff \t\r\n")[:1] in ("{", "[", "")


# Most peers write the id first, or after the version.
_ID_AT_THE_START = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*([0-9]{1,18})\s*,')


def _id_at_the_start(payload: bytes | bytearray | str) -> int | None:
    """Return the id of a message that is not decoded, where it begins with that."""
    beginning = payload[:_BEGINNING]
    found = _ID_AT_THE_START.match(
        beginning.encode("utf-8", "replace") if isinstance(beginning, str) else beginning
    )
    return int(found[1]) if found is not None else None


def _mended_json(payload: bytes | bytearray | str) -> str:
    """Remove a byte order mark from a JSON text and replace lone surrogates with U+FFFD.

    Raises:
        ValueError: The text is not JSON, or too long.
    """
    if len(payload) > MAX_MENDED:
        raise ValueError("too long to be mended")
    text = payload if isinstance(payload, str) else payload.decode("utf-8", "replace")
    text = text.removeprefix("\ufeff")
    # Two halves of a pair that were escaped one by one are joined on the way.
    whole = json.dumps(json.loads(text, strict=False), ensure_ascii=False)
    return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _read_batch(
    values: list[Any], allowed: bool, payload: bytes | bytearray | str, bound: int
) -> tuple[Message, ...]:
    size = len(payload)
    if not allowed:
        one = cast("dict[str, Any]", values[0]) if _is_array_of_one(values) else None
        message = _read_message(one, size, payload, bound) if one is not None else None
        if isinstance(message, Response | ErrorResponse | Notification):
            return (message,)
        return (Invalid("this revision does not allow batches", None, INVALID_REQUEST),)
    if not 0 < len(values) <= MAX_BATCH:
        return (Invalid(f"a batch has 1 to {MAX_BATCH} messages, not {len(values)}", None, INVALID_REQUEST),)
    return tuple(
        _read_message(cast("dict[str, Any]", value), size // len(values), payload, bound)
        if type(value) is dict
        else Invalid(f"a message is an object, not {_json_type(value)}", None, INVALID_REQUEST)
        for value in values
    )


def _is_array_of_one(values: list[Any]) -> bool:
    return len(values) == 1 and type(values[0]) is dict


def _read_message(value: dict[str, Any], size: int, payload: bytes | bytearray | str, bound: int) -> Message:
    request_id = value.get("id")
    plain = type(request_id) is int or type(request_id) is str
    known = request_id if plain else request_id_in(request_id)
    if "method" in value:
        return _request_or_notification(value, known)
    result, error = value.get("result"), value.get("error")
    if result is None and error is None and not ("result" in value) ^ ("error" in value):
        return Invalid("a message has one of method, result and error", known, INVALID_REQUEST)
    if result is not None and error is not None:
        return Invalid("a message has one of method, result and error", known, INVALID_REQUEST)
    failed = error is not None or "result" not in value
    if failed and (known is not None or request_id is None):
        return _read_error(error, known)
    if known is None:
        return Invalid(_no_id(value), None, INVALID_REQUEST)
    return _read_response(result, known, size, payload, bound)


def _no_id(value: dict[str, Any]) -> str:
    if "id" not in value:
        return "a result without an id"
    return f"an id is a string or an integer, not {_json_type(value['id'])}"


def request_id_in(value: Any) -> RequestId | None:
    """Return a value of the peer if it is a valid request id, else None; ``3.0`` is 3."""
    if type(value) is int or type(value) is str:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def _request_or_notification(value: dict[str, Any], request_id: RequestId | None) -> Message:
    method, params = value["method"], value.get("params")
    if params is None:
        params = cast("dict[str, Any]", {})
    problem = _problem_of_request(value, request_id, method, params)
    if problem is not None:
        return Invalid(problem, request_id, INVALID_REQUEST)
    if request_id is None:
        return Notification(method, cast("dict[str, Any]", params))
    return Request(request_id, method, cast("dict[str, Any]", params))


def _problem_of_request(
    value: dict[str, Any], request_id: RequestId | None, method: Any, params: Any
) -> str | None:
    if value.get("jsonrpc") != "2.0":
        return '"jsonrpc" is not "2.0"'
    if "id" in value and request_id is None:
        return _no_id(value)
    if type(method) is not str:
        return f"a method is a string, not {_json_type(method)}"
    if "result" in value or "error" in value:
        return "a message has one of method, result and error"
    if type(params) is not dict:
        return f"params of {method[:80]!r} is not an object but {_json_type(params)}"
    return None


def _read_response(
    result: Any, request_id: RequestId, size: int, payload: bytes | bytearray | str, bound: int
) -> Message:
    if type(result) is not dict:
        return Invalid(f"a result is an object, not {_json_type(result)}", request_id, INVALID_REQUEST)
    return Response(request_id, cast("dict[str, Any]", result), size, payload, bound)


def _read_error(error: Any, request_id: RequestId | None) -> Message:
    if error is None:
        return Invalid("an error is an object, not null", request_id, INVALID_REQUEST)
    if type(error) is not dict:
        return ErrorResponse(request_id, ErrorObject(NO_CODE, _error_words(error)))
    members = cast("dict[str, Any]", error)
    code, message = members.get("code"), members.get("message")
    number = code_in(code)
    text = message if type(message) is str else _error_words(error if message is None else message)
    if number is None:
        text = f"{text} ({_error_words(code)})" if code is not None and message is not None else text
        number = NO_CODE
    return ErrorResponse(request_id, ErrorObject(number, text, members.get("data")))


def code_in(value: Any) -> int | None:
    """Return a value of the peer if it is an integer, as a number or as text, else None."""
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if value.is_integer() else None
    if type(value) is str and len(value) <= MAX_DIGITS and value.removeprefix("-").isdecimal():
        return int(value)
    return None


def _error_words(value: Any) -> str:
    """Return the text of an error that is not in its ``message`` member."""
    text = value if type(value) is str else json.dumps(value, ensure_ascii=False)
    return text[:MAX_ERROR_WORDS]


_JSON_TYPES: dict[type[Any], str] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _json_type(value: Any) -> str:
    return _JSON_TYPES[cast("type[Any]", type(value))]


# ---- encoding ----------------------------------------------------------------------


def _to_jsonable(value: Any) -> Any:
    """Convert a value that the JSON encoder does not know into one that it does."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        raise TypeError(f"JSON has no {type(value).__name__}") from None


_encode = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_to_jsonable
).encode


def dumps(value: Any, what: str = "value") -> bytes:
    """Encode a value as compact UTF-8 JSON; bytes are base64, and pydantic says what all else is.

    Args:
        value: What to encode.
        what: What it is, for the error.

    Raises:
        LocalProtocolError: JSON cannot hold it: NaN, an unknown type, a circle, half of a
            surrogate pair. The message says where.
    """
    try:
        return _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        with suppress(TypeError, ValueError, RecursionError):
            # Keys of a mapping that are no texts are the one thing that the encoder does not ask about.
            return _encode(to_jsonable_python(value)).encode()
        # The search would name fifty levels of a value that is nothing but deep.
        where = what if isinstance(error, RecursionError) else _find_unencodable(value, what, ())
        raise LocalProtocolError(f"{where} cannot be sent as JSON: {_encoding_problem(error)}") from error


def _encoding_problem(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "it contains half of a surrogate pair"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)


def _find_unencodable(value: Any, path: str, around: tuple[int, ...]) -> str:
    """Name the innermost place that cannot be encoded.

    Args:
        value: What cannot be encoded.
        path: What it is called.
        around: The identities of the values that it is part of, so that a circle ends.
    """
    inner: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        inner = [(f"{path}[{key!r}]", item) for key, item in cast("Mapping[Any, Any]", value).items()]
    elif isinstance(value, list | tuple):
        inner = [(f"{path}[{index}]", item) for index, item in enumerate(cast("list[Any]", value))]
    around = (*around, id(cast("object", value)))
    for place, item in inner:
        try:
            _encode(item).encode()
        except (TypeError, ValueError):
            deeper = id(item) not in around and len(around) < MAX_SEARCH_DEPTH
            return _find_unencodable(item, place, around) if deeper else place
    return path


def encode_request(request_id: RequestId, method: str, params: Mapping[str, Any], meta: bytes = b"") -> bytes:
    """Encode a request.

    Args:
        request_id: Its id.
        method: Its method.
        params: Its parameters, without ``_meta`` where ``meta`` is given.
        meta: A JSON object that is ready to be spliced in as ``_meta``.

    Raises:
        LocalProtocolError: JSON cannot hold the parameters.
    """
    return b'{"jsonrpc":"2.0","id":%b,"method":%b%b}' % (
        _encoded_id(request_id),
        _encoded_method(method),
        _encoded_params(params, meta),
    )


def encode_notification(method: str, params: Mapping[str, Any], meta: bytes = b"") -> bytes:
    """Encode a notification; arguments as :func:`encode_request`.

    Raises:
        LocalProtocolError: JSON cannot hold the parameters.
    """
    return b'{"jsonrpc":"2.0","method":%b%b}' % (_encoded_method(method), _encoded_params(params, meta))


def _encoded_id(request_id: RequestId | None) -> bytes:
    return b"%d" % request_id if type(request_id) is int else dumps(request_id, "the id")


@lru_cache(maxsize=256)
def _encoded_method(method: str) -> bytes:
    return dumps(method, "the method")


def _encoded_params(params: Mapping[str, Any], meta: bytes) -> bytes:
    if not params:
        return b',"params":{"_meta":%b}' % meta if meta else b""
    encoded = dumps(params, "params")
    return b',"params":{"_meta":%b,%b' % (meta, encoded[1:]) if meta else b',"params":%b' % encoded


def encode_response(request_id: RequestId, result: Mapping[str, Any]) -> bytes:
    """Encode the answer to a request.

    Raises:
        LocalProtocolError: JSON cannot hold the result.
    """
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (_encoded_id(request_id), dumps(result, "result"))


def encode_error(request_id: RequestId | None, error: ErrorObject) -> bytes:
    """Encode an error as the answer to a request, or to something that had no readable id.

    Raises:
        LocalProtocolError: JSON cannot hold the error's data.
    """
    members: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        members["data"] = error.data
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (_encoded_id(request_id), dumps(members, "error"))
