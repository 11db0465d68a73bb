"""Looks names up that a page has in a table: ``Class.method(keyword=...)``.

A program, as the other packages have an environment of their own: it reads ``[[modules, names], ...]`` on
standard input, and prints the names that the modules of their pair do not have.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import sys
from collections.abc import Iterable
from typing import Any


def _has(owner: Any, name: str) -> bool:
    """Whether a class or module has an attribute, or its instances have that field."""
    if hasattr(owner, name) or name in getattr(owner, "model_fields", {}):
        return True
    return any(name in getattr(each, "__annotations__", {}) for each in getattr(owner, "__mro__", ()))


def _known(expression: str, modules: Iterable[Any]) -> bool:
    tree = ast.parse(expression, mode="eval").body
    keywords = {each.arg for each in tree.keywords} if isinstance(tree, ast.Call) else set()
    first, *rest = ast.unparse(tree.func if isinstance(tree, ast.Call) else tree).split(".")
    # The first that has it: to look further may warn of names of before.
    home = next((module for module in modules if hasattr(module, first)), None)
    if home is None:
        return False
    found = getattr(home, first)
    for name in rest:
        if not _has(found, name):
            return False
        found = getattr(found, name, None)
    return not keywords or keywords <= set(inspect.signature(found).parameters)


def unknown(modules: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the names that none of the modules has."""
    loaded = [importlib.import_module(module) for module in modules]
    return [name for name in names if not _known(name, loaded)]


if __name__ == "__main__":
    print(json.dumps([name for modules, names in json.load(sys.stdin) for name in unknown(modules, names)]))
