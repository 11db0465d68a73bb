"""What a command line or the environment sets in place of the configuration, for each process."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from pydantic import TypeAdapter, ValidationError

from ..._internal import is_service_link
from ..config.errors import Problems
from ..config.model import GatewayConfig, Names

#: In front of the variable of each option, as for the options of ``routermcp serve`` that are none of these.
VARIABLE_PREFIX = "ROUTERMCP"


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of ``routermcp serve``; what is None stays as it is configured."""

    host: str | None = None
    port: int | None = None
    log_format: Literal["text", "json"] | None = None
    portable_names: bool = False
    debug: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the options that variables say; an empty one, and a link of Kubernetes, say nothing.

        Raises:
            ConfigError: A variable has a value that its option cannot have.
        """
        named = {field.name: environment.get(_variable(field.name), "") for field in fields(cls)}
        said = {name: text for name, text in named.items() if text and not is_service_link(text)}
        with _problems_told(f"the variables {VARIABLE_PREFIX}_*"):
            return TypeAdapter(cls).validate_python(said)

    def variables(self) -> dict[str, str]:
        """Return the variables that say the same, for :meth:`from_environment` in a worker."""
        return {_variable(name): str(value) for name, value in asdict(self).items() if value is not None}

    def applied_to(self, config: GatewayConfig) -> GatewayConfig:
        """Return a configuration with these options.

        Raises:
            ConfigError: An option is wrong.
        """
        listening = {"host": self.host, "port": self.port}
        log = {"format": self.log_format}
        with _problems_told("the options"):
            update: dict[str, Any] = {
                # Checked as the file is.
                name: type(settings).model_validate({**settings.model_dump(), **said})
                for name, settings, options in (
                    ("httpServer", config.httpServer, listening),
                    ("log", config.log, log),
                )
                if (said := {key: value for key, value in options.items() if value is not None})
            }
        if self.portable_names:
            update["names"] = Names(portable=True)
        return config.model_copy(update=update) if update else config


@contextmanager
def _problems_told(source: str) -> Generator[None]:
    """Turn what pydantic finds wrong into a sentence for users.

    Raises:
        ConfigError: Something is wrong.
    """
    problems = Problems(source)
    try:
        yield
    except ValidationError as error:
        problems.add_all(error)
    problems.check()


def _variable(option: str) -> str:
    return f"{VARIABLE_PREFIX}_{option.upper()}"
