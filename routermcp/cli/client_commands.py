"""Commands that use a server: how each gets its target, its own words and the options in common."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, cast, get_args

import typer
from typer.core import TyperCommand

from .. import SyncRouterMCPClient
from .arguments.words import is_argument
from .failures import UsageProblem, reported
from .options import ClientOptions, quiet_logs
from .targets import ServerTarget, default_target, is_target, is_url, named_target, names_of_servers

#: The key of the program to start in the notes of a command's context.
_PROGRAM = "routermcp.program"

#: The words that all these commands take, in the help.
_TARGET = (
    "The URL of a server, its NAME in routermcp.jsonc, or FILE:NAME in another file. "
    "Without one it is --url, ROUTERMCP_URL, or the running gateway of the configuration here."
)
_COMMAND = "Instead of TARGET: a program to start, spoken to over its standard streams."

#: Columns of the help, and those of the words in it.
_HELP_WIDTH, _WORDS_WIDTH = 76, 12


class TargetCommand(TyperCommand):
    """A command at whose end ``-- COMMAND ...`` may stand, the program that is its server."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the program off the words, and read the rest."""
        if "--" in args:
            at = args.index("--")
            args, ctx.meta[_PROGRAM] = args[:at], tuple(args[at + 1 :])
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage: the names of the argument say more than that it is a list."""
        del ctx
        names = [str(each.metavar) for each in self.params if each.param_type_name == "argument"]
        return ["[OPTIONS]", *names, "[-- COMMAND...]"]


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a command line, told apart.

    Attributes:
        target: The word in front that names the server, if there is one.
        own: The words that the command needs.
        rest: The arguments behind them.
    """

    target: str | None
    own: Sequence[str]
    rest: Sequence[str]


@dataclass(frozen=True, slots=True)
class WordNames:
    """What the words of a command stand for: ``[TARGET] TOOL [KEY=VALUE]...``.

    Attributes:
        own: The names of the words that it needs, in the help.
        rest: The name of the arguments behind them, None where there are none.
    """

    own: Sequence[str]
    rest: str | None

    def usage(self) -> str:
        """Return the words as the help shows them."""
        return " ".join(["[TARGET]", *self.own, *([f"[{self.rest}]..."] if self.rest else [])])

    def split(self, words: Sequence[str], *, given: bool) -> Words:
        """Tell words apart.

        Args:
            words: The words as they were typed.
            given: Whether the server is named elsewhere, so that no word is its name.

        Raises:
            UsageProblem: There are too few or too many.
        """
        plain = len(words)
        if self.rest is not None:
            plain = next(
                (at for at, word in enumerate(words) if is_argument(word) and not is_url(word)), plain
            )
        named = plain > 0 and is_target(words[0]) and "URI" not in self.own
        if given and named:
            raise UsageProblem(f"the server is named twice: by {words[0]!r}, and elsewhere")
        target = words[0] if not given and (named or plain > len(self.own)) else None
        if target is not None:
            words, plain = words[1:], plain - 1
        if plain < len(self.own):
            raise UsageProblem(f"{self.own[plain]} is missing: give {self.usage()}")
        own, rest = words[: len(self.own)], words[len(self.own) :]
        if rest and self.rest is None:
            raise UsageProblem(f"{rest[0]!r} is one word too many: give {self.usage()}")
        return Words(target, own, rest)


@dataclass(frozen=True, slots=True)
class NamedServer:
    """The server that words name.

    Attributes:
        target: What they name, None where they name none.
        session: The client of the shell that the words were typed in.
    """

    target: ServerTarget | None = None
    session: SyncRouterMCPClient | None = None


#: Where no word names a server.
NO_SERVER = NamedServer()


def client_command(app: typer.Typer) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes a function a command of an application which uses a server.

    The function's positional parameters are the words that the command needs, and a last one of
    lists takes those behind; ``options`` gets the :class:`ClientOptions`.
    """

    def register(command: Callable[..., None]) -> Callable[..., None]:
        app.command(cls=TargetCommand, help=_help_of(command))(_with_target(command))
        return command

    return register


def takes_client_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each of :class:`ClientOptions`, in place of its ``options``.

    Parameters whose types are other dataclasses of options are taken apart in the same way.
    """
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["options"]
    groups = {
        name: cast("type[Any]", own.pop(name).annotation)
        for name in [name for name, each in own.items() if is_dataclass(each.annotation)]
    }

    @wraps(command)
    def run(*, named: NamedServer = NO_SERVER, **given: Any) -> None:
        options = {each.name: given.pop(each.name) for each in _option_fields()}
        for name, group in groups.items():
            given[name] = group(**{each.name: given.pop(each.name) for each in _option_fields(group)})
        quiet_logs()
        command(options=ClientOptions(**options, target=named.target, session=named.session), **given)

    of_groups = [each for group in groups.values() for each in _option_fields(group)]
    return _with_signature(run, [*own.values(), *_option_fields(), *of_groups])


def _with_target(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command as typer sees it: with the options of :class:`ClientOptions`, and its words."""
    parameters = list(inspect.signature(command, eval_str=True).parameters.values())
    words = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    own = [each for each in words if each.default is each.empty]
    rest = next((each for each in words if each.default is not each.empty), None)
    names = WordNames([_info(each).metavar for each in own], _info(rest).metavar if rest else None)
    with_options = takes_client_options(command)

    @wraps(command)
    def run(ctx: typer.Context, words: list[str] | None = None, **given: Any) -> None:
        with reported(debug=given["debug"]):
            split, named = _resolved(names, words or [], given["url"], ctx)
        values: dict[str, Any] = dict(zip((each.name for each in own), split.own, strict=True))
        if rest is not None:
            values[rest.name] = [*split.rest]
        with_options(**values, named=named, **given)

    argument = typer.Argument(metavar=names.usage(), hidden=True, autocompletion=_complete_target)
    kind, annotation = inspect.Parameter.POSITIONAL_OR_KEYWORD, Annotated[list[str] | None, argument]
    signature = [
        inspect.Parameter("ctx", kind, annotation=typer.Context),
        inspect.Parameter("words", kind, default=None, annotation=annotation),
        *(each for each in parameters if each.kind is each.KEYWORD_ONLY and each.name != "options"),
        *_option_fields(),
    ]
    return _with_signature(run, signature)


def _help_of(command: Callable[..., None]) -> str:
    """Return the help of a command: its docstring, and what its words are."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    words = [_info(each) for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    described = {"TARGET": _TARGET, **{each.metavar: each.help for each in words}, "COMMAND": _COMMAND}
    lines = [
        textwrap.fill(f"{word:<{_WORDS_WIDTH}}{about}", _HELP_WIDTH, subsequent_indent=" " * _WORDS_WIDTH)
        for word, about in described.items()
    ]
    return "\n\n".join([inspect.getdoc(command) or "", "\b\n" + "\n".join(lines)])


def _with_signature(run: Callable[..., None], parameters: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """Give a function the signature and the annotations that typer reads."""
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _option_fields(options: type[Any] = ClientOptions) -> list[inspect.Parameter]:
    """Return the fields of a dataclass that are options of the command line."""
    known = inspect.signature(options, eval_str=True).parameters
    return [
        known[each.name].replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for each in fields(options)
        if not each.kw_only
    ]


def _info(parameter: inspect.Parameter) -> Any:
    """Return what typer is told of a parameter."""
    return next(each for each in get_args(parameter.annotation) if hasattr(each, "metavar"))


def _resolved(
    names: WordNames, words: Sequence[str], url: str | None, ctx: typer.Context
) -> tuple[Words, NamedServer]:
    """Return the words told apart, and the server that they name."""
    program: tuple[str, ...] | None = ctx.meta.get(_PROGRAM)
    session = ctx.obj if isinstance(ctx.obj, SyncRouterMCPClient) else None
    if program == ():
        raise UsageProblem("after -- stands the program to start, such as -- uvx mcp-server-time")
    if session is not None and (url is not None or program):
        raise UsageProblem("the shell is at one server: end it to use another")
    if url is not None and program:
        raise UsageProblem("give either --url or -- COMMAND")
    split = names.split(words, given=session is not None or url is not None or program is not None)
    if program:
        return split, NamedServer(ServerTarget(command=program))
    if split.target is not None:
        return split, NamedServer(_target_named(split.target, split, names))
    return split, NamedServer(default_target() if session is None and url is None else None, session)


def _target_named(word: str, split: Words, names: WordNames) -> ServerTarget:
    try:
        return named_target(word)
    except UsageProblem as problem:
        if names.rest is None or is_target(word):
            raise
        # One word too many: it may be meant as an argument.
        raise UsageProblem(f"{split.own[-1]!r} is not key=value, and {problem}") from None


def _complete_target(incomplete: str) -> list[str]:
    """Return the names of the configuration that begin like a word, for the completion of shells."""
    return [name for name in names_of_servers() if name.startswith(incomplete)]
