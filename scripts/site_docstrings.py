"""What the site makes of docstrings that are written for Sphinx, and of the models of pydantic.

``:class:`~package.Name``` becomes code, and the indented lines after ``Example::`` become a block of Python.
The models of the wire get a list of all members. An extension of griffe, which reads the docstrings for
``docs/zensical.toml``.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Class, ExprSubscript, ExprTuple, Extension, Module, Object

#: A role and what it names: with a tilde, only the last part is shown.
ROLE = re.compile(r":(?:class|meth|func|mod|attr|data|exc|obj):`(~|\.*)([^`]+)`")

#: A line that ends in two colons, and the indented lines below it.
LITERAL_BLOCK = re.compile(r"^([ ]*)([^\n]*)::\n\n((?:\1[ ]+[^\n]*\n|[ ]*\n)+)", re.MULTILINE)


def _code(role: re.Match[str]) -> str:
    short, name = role.groups()
    return f"`{name.rpartition('.')[2] if short == '~' else name}`"


def _fenced(block: re.Match[str]) -> str:
    margin, words, lines = block.groups()
    code = textwrap.indent(f"```python\n{textwrap.dedent(lines).strip()}\n```", margin)
    return f"{margin}{words}:\n\n{code}\n\n" if words else f"{code}\n\n"


class SiteDocstrings(Extension):
    """Rewrites the docstrings that griffe has read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Replace what only Sphinx reads by Markdown."""
        if obj.docstring is not None:
            text = LITERAL_BLOCK.sub(_fenced, f"{obj.docstring.value}\n")
            obj.docstring.value = ROLE.sub(_code, text).rstrip()

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Name all members of the models of the wire, with their types."""
        if pkg.path == "routermcp_proto":
            for module in pkg["types"].modules.values():
                for model in module.classes.values():
                    _name_members(model)


def _name_members(model: Class) -> None:
    """Add the members that the docstring of a model does not name, as a section with their types."""
    members = {
        name: attribute
        for name, attribute in {**model.inherited_members, **model.members}.items()
        if attribute.is_attribute
        and attribute.annotation is not None
        and not name.startswith(("_", "model_"))
    }
    if not members or model.docstring is None:
        return
    said, _, listed = model.docstring.value.partition("Attributes:\n")
    known = set(re.findall(r"^    (\w+):", listed, re.MULTILINE))
    for name, attribute in members.items():
        if name in known:
            listed = re.sub(rf"^    {name}:", f"    {name} ({_type(attribute)}):", listed, flags=re.MULTILINE)
        else:
            listed += f"\n    {name} ({_type(attribute)}): As the specification has it."
    model.docstring.value = f"{said.rstrip()}\n\nAttributes:\n{listed.strip(chr(10))}"


def _type(attribute: Any) -> str:
    """Return the type of an attribute, without what pydantic reads in ``Annotated``."""
    annotation = attribute.annotation
    if isinstance(annotation, ExprSubscript) and str(annotation.left) == "Annotated":
        annotation = (
            annotation.slice.elements[0] if isinstance(annotation.slice, ExprTuple) else annotation.slice
        )
    return str(annotation)
