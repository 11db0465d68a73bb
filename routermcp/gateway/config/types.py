"""The types of the parts of a configuration."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from routermcp_proto.http.binding import OWN_HEADERS

from ..names import GATEWAY_ALIAS
from .errors import problem

#: The longest time that can be set, 100 days, as for the client's calls: far more than
#: a user waits, and within the range of every clock and timer.
MAX_SECONDS = 100 * 24 * 3600

#: Characters of the longest alias of a server.
MAX_ALIAS = 50

_ALIAS = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ALIAS}}}")
_SLUG = re.compile(r"[a-z0-9-]{1,50}")
_VARIABLE = re.compile(r"[^=\0]+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110, section 5.6.2
#: Headers of a connection (RFC 9110, section 7.6.1), and those that describe the gateway's own body.
_HOP_BY_HOP = frozenset(
    [
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept",
        "accept-encoding",
        "content-encoding",
        "content-type",
    ]
)
_OF_THE_GATEWAY = frozenset({"x-api-key", "x-routermcp-user-id"})
# The characters of "Authorization: Bearer ...": visible ASCII characters.
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")


def _no_boolean(value: object) -> object:
    # Python counts booleans as numbers; a file that says "port": true is wrong.
    if isinstance(value, bool):
        raise problem("expected a number, not true or false")
    return value


def _checked_alias(text: str) -> str:
    if not _ALIAS.fullmatch(text):
        raise problem("expected an alias of 1 to 50 letters, digits, '-' and '_'")
    if text.lower() == GATEWAY_ALIAS:
        raise problem("this alias is that of the gateway's own tools; choose another")
    return text


def _checked_slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise problem("expected a slug of 1 to 50 lower-case letters, digits and '-'")
    return text


def _passed_header(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise problem("expected the name of a header")
    if name.lower() in _HOP_BY_HOP or name.lower().encode() in OWN_HEADERS or name.lower().startswith("mcp-"):
        raise problem("this header is of one connection, or of MCP itself: take it away")
    if name.lower() in _OF_THE_GATEWAY:
        raise problem("this header is for the gateway alone: take it away")
    return name


def _variable_name(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise problem("expected the name of a variable, without '='")
    return text


def _checked_token(secret: SecretStr) -> SecretStr:
    if not _VISIBLE_ASCII.fullmatch(secret.get_secret_value()):
        raise problem("expected a text of visible ASCII characters, without spaces, and not an empty one")
    return secret


Whole = Annotated[int, BeforeValidator(_no_boolean)]
Seconds = Annotated[float, BeforeValidator(_no_boolean), Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)]
Token = Annotated[SecretStr, AfterValidator(_checked_token)]
Alias = Annotated[str, AfterValidator(_checked_alias)]
Slug = Annotated[str, AfterValidator(_checked_slug)]
VariableName = Annotated[str, AfterValidator(_variable_name)]
PassedHeader = Annotated[str, AfterValidator(_passed_header)]
Texts = tuple[str, ...]


class ConfigModel(BaseModel):
    """Base of all parts: they do not change, and their errors tell nothing of the values."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
