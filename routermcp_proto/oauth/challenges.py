"""The challenges in ``WWW-Authenticate`` (RFC 9110, section 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: Challenges and parameters that are read; servers send one or two, with four parameters.
MAX_CHALLENGES = 16
MAX_CHALLENGE_PARAMETERS = 32

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_AUTH_SCHEME = re.compile(rf"[\s,]*({_WORD})(?=\s|,|$)[ \t]*")
_AUTH_PARAMETER = re.compile(
    rf"""[\s,]*({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))[ \t]*(?=,|$)""", re.DOTALL
)
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|$)")
# With the separators behind it, so that each is looked at once, however many there are.
_TO_COMMA = re.compile(r"[^,]*[\s,]*")


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge of a server."""

    scheme: str
    """In lower case, such as ``bearer``."""

    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    """By name in lower case; of a name that is given twice, the first counts."""

    takes_proofs: bool = field(default=False, compare=False)
    """Whether tokens that are bound to a key are among those that the server takes."""

    @property
    def error(self) -> str | None:
        """Why the request was refused (RFC 6750, section 3.1)."""
        return self.parameters.get("error")

    @property
    def scope(self) -> tuple[str, ...] | None:
        """The scopes that are needed, None where nothing is said of them."""
        scope = self.parameters.get("scope", "").split()
        return tuple(scope) or None

    @property
    def resource_metadata(self) -> str | None:
        """Where the server describes itself (RFC 9728, section 5.1)."""
        return self.parameters.get("resource_metadata")


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Parse the challenges in all header lines, and leave out what cannot be parsed; never raises."""
    found: list[Challenge] = []
    for value in values:
        found += _in_one_line(value)
    return tuple(found[:MAX_CHALLENGES])


def _in_one_line(value: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = 0
    while at < len(value) and len(found) < MAX_CHALLENGES:
        scheme = _AUTH_SCHEME.match(value, at)
        if scheme is None:  # something that is no scheme: go on behind the next comma
            rest = _TO_COMMA.match(value, at)
            at = rest.end() if rest is not None and rest.end() > at else len(value)
            continue
        at = scheme.end()
        token68 = _TOKEN68.match(value, at)
        if token68 is not None:
            found.append(Challenge(scheme[1].lower()))
            at = token68.end()
            continue
        parameters, at = _auth_parameters(value, at)
        found.append(Challenge(scheme[1].lower(), parameters))
    return found


def _auth_parameters(value: str, at: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    while len(parameters) < MAX_CHALLENGE_PARAMETERS:
        match = _AUTH_PARAMETER.match(value, at)
        if match is None:
            break
        name, quoted, plain = match.groups()
        text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        parameters.setdefault(name.lower(), text)
        at = match.end()
    return parameters, at


def for_tokens(challenges: Iterable[Challenge], used: str | None = None) -> Challenge | None:
    """Merge all challenges for OAuth tokens into one, None where there is none.

    A server may offer plain tokens and those that are bound to a key side by side (RFC 9449,
    section 7.1). What was wrong with the request counts first, and of that what is about the
    token that it carried. The scheme is that of plain tokens unless only the other one is offered.

    Args:
        challenges: All challenges of a refusal.
        used: The scheme of the token that the request carried, in lower case.
    """
    wanted = [challenge for challenge in challenges if challenge.scheme in ("bearer", "dpop")]
    if not wanted:
        return None
    wanted.sort(key=lambda challenge: (challenge.error is None, challenge.scheme != used))
    parameters: dict[str, str] = {}
    for challenge in reversed(wanted):
        parameters.update(challenge.parameters)
    schemes = {challenge.scheme for challenge in wanted}
    return Challenge(min(schemes), parameters, "dpop" in schemes)
