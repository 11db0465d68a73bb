"""What a command line sets in place of the configuration, for one process as for several workers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from ..config.model import GatewayConfig, Names


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of ``routermcp serve``; what is None stays as it is configured."""

    host: str | None = None
    port: int | None = None
    log_format: str | None = None
    portable_names: bool = False
    debug: bool = False

    def applied_to(self, config: GatewayConfig) -> GatewayConfig:
        """Return a configuration with these options.

        Raises:
            ValidationError: An option is wrong.
        """
        listening = {"host": self.host, "port": self.port}
        log = {"format": self.log_format}
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

    def to_text(self) -> str:
        """Return the options as text, for the environment of workers."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the options from :meth:`to_text`."""
        return cls(**json.loads(text))
