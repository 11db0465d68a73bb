"""Names of a module that are imported when they are first used.

Most programs sign no user in, and the modules for that would be a fifth of the time of the import.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def imported_on_use(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module (PEP 562).

    Args:
        module: The name of the module.
        homes: The module that each name is imported from, relative to the package of the first.
    """

    def attribute(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        here = sys.modules[module]
        value = getattr(import_module(home, here.__package__), name)
        setattr(here, name, value)  # found without this function from now on
        return value

    return attribute
