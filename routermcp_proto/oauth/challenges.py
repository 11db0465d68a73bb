"""The challenges in ``WWW-Authenticate`` (RFC 9110, section 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: Challenges and parameters that are read; servers send one or two, with four parameters.
MAX_CHALLENGES = 16
MAX_CHALLENGE_PARAMETERS = 32

#: Characters of one header line that are read; a challenge has a few hundred.
MAX_CHALLENGE_CHARACTERS = 16 * 1024

# Servers write much by hand: values without quotes or in single ones, quotes within quotes, blanks or
# semicolons where there should be commas. What can be read is read, parameter by parameter.
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SEPARATORS = re.compile(r"[\s,;]*")
_SCHEME = re.compile(rf"({_WORD}):?(?=[\s,;]|\Z)[ \t]*")
_NAME = re.compile(rf"({_WORD})[ \t]*=[ \t]*")
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*[ \t]*(?=[,;]|\Z)")
# The next parameter, perhaps of the next challenge, with nothing but blanks before it.
_NEXT = rf"(?<!\s)\s+{_WORD}(?:\s+{_WORD})?\s*="
_END = rf"(?=\s*(?:[,;]|\Z)|{_NEXT})"
_QUOTED = re.compile(rf'"((?:[^"\\]|\\.)*)"{_END}', re.DOTALL)
_CLOSING = {"'": re.compile(rf"'{_END}"), '"': re.compile(rf'"{_END}')}
_NEXT_PARAMETER = re.compile(rf"{_NEXT}")
_TO_SEPARATOR = re.compile(r"[^,;]*")
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


def _in_one_line(line: str) -> list[Challenge]:
    value = line[:MAX_CHALLENGE_CHARACTERS]
    found: list[tuple[str, dict[str, str]]] = []
    unclosed: set[str] = set()
    at = _match_end(_SEPARATORS, value, 0)
    while at < len(value):
        name, scheme = _NAME.match(value, at), _SCHEME.match(value, at)
        if name is not None:
            text, at = _parameter_text(value, name.end(), unclosed)
            if not found:
                found.append(("bearer", {}))  # parameters without a scheme
            parameters = found[-1][1]
            if len(parameters) < MAX_CHALLENGE_PARAMETERS:
                parameters.setdefault(name[1].lower(), text)
        elif scheme is not None:
            if len(found) == MAX_CHALLENGES:
                break
            found.append((scheme[1].lower(), {}))
            at = _match_end(_TOKEN68, value, scheme.end())
        else:
            at = _match_end(_TO_COMMA, value, at)
        at = _match_end(_SEPARATORS, value, at)
    return [Challenge(scheme, parameters) for scheme, parameters in found]


def _match_end(pattern: re.Pattern[str], value: str, at: int) -> int:
    """Return where a match at a position ends, the position itself where nothing matches."""
    match = pattern.match(value, at)
    return match.end() if match is not None else at


def _parameter_text(value: str, at: int, unclosed: set[str]) -> tuple[str, int]:
    """Return the value of a parameter, and where it ends.

    Args:
        value: The header line.
        at: Where the value begins.
        unclosed: The quotes that no later one closes. Each is searched for to the end once only, so that
            a line of nothing but opening quotes takes linear time.
    """
    quote = value[at : at + 1]
    if quote in _CLOSING and quote not in unclosed:
        quoted = _QUOTED.match(value, at)
        if quoted is not None:
            return _unescaped_string(quoted[1]), quoted.end()
        closing = _CLOSING[quote].search(value, at + 1)
        if closing is not None:
            return _unescaped_string(value[at + 1 : closing.start()]), closing.end()
        unclosed.add(quote)
    end = _match_end(_TO_SEPARATOR, value, at)
    following = _NEXT_PARAMETER.search(value, at, end)
    end = following.start() if following is not None else end
    return value[at:end].strip(), end


def _unescaped_string(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def for_tokens(challenges: Iterable[Challenge], used: str | None = None) -> Challenge | None:
    """Merge all challenges for OAuth tokens into one, None where there is none.

    A server may offer plain tokens and those that are bound to a key side by side (RFC 9449,
    section 7.1). What was wrong with the request counts first, and of that what is about the
    token that it carried. The scheme is that of plain tokens unless only the other one is offered.

    Args:
        challenges: All challenges of a refusal.
        used: The scheme of the token that the request carried, in lower case.
    """
    offered = tuple(challenges)
    wanted = [challenge for challenge in offered if challenge.scheme in ("bearer", "dpop")]
    # Some servers name their metadata beside another scheme (``OAuth``, or words of a description).
    named = [challenge.resource_metadata for challenge in offered if challenge.resource_metadata]
    if not wanted:
        return Challenge("bearer", {"resource_metadata": named[0]}) if named else None
    wanted.sort(key=lambda challenge: (challenge.error is None, challenge.scheme != used))
    parameters = {"resource_metadata": named[0]} if named else dict[str, str]()
    for challenge in reversed(wanted):
        parameters.update(challenge.parameters)
    schemes = {challenge.scheme for challenge in wanted}
    return Challenge(min(schemes), parameters, "dpop" in schemes)
