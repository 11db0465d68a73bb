"""No circle of imports, arrows one way from room to room, and nothing private of a neighbour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.structure.floors import FLOORS
from tests.structure.imports import PACKAGES, ROOT, Import, circles, files, imports, own_imports

#: Modules beside the sub-folders that a folder may hold: more is no list that a reader takes in.
MAX_MODULES = 16

#: The parts of ``routermcp`` that behave as neighbours of the client in the same package.
NEIGHBOURS = ("routermcp.gateway", "routermcp.cli")

#: What the neighbours may use of the client beside its public modules.
INTERNAL_API = frozenset(["routermcp._internal"])

#: May import the gateway: the rest works where the gateway's dependencies are missing.
USES_THE_GATEWAY = "routermcp.cli"


def within(module: str, part: str) -> bool:
    """Whether a module is a part of a package, or is in it."""
    return module == part or module.startswith(f"{part}.")


def room(module: str, wing: str) -> str:
    """Return the room of a module of a wing."""
    return module.removeprefix(wing).lstrip(".").partition(".")[0] or "__init__"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def neighbour(module: str) -> str:
    """Return the package of a module, or the part of one that is a neighbour of the rest."""
    return next((part for part in NEIGHBOURS if within(module, part)), module.partition(".")[0])


def upwards(found: Iterable[Import], wing: str, floors: tuple[tuple[str, ...], ...]) -> Iterator[Import]:
    """Yield imports between rooms of a wing that do not lead to a lower floor."""
    floor_of = {name: number for number, floor in enumerate(floors) for name in floor}
    for item in found:
        if within(item.importer, wing) and within(item.module, wing):
            start, end = room(item.importer, wing), room(item.module, wing)
            if start != end and floor_of[end] >= floor_of[start]:
                yield item


def of_neighbours(found: Iterable[Import]) -> Iterator[Import]:
    """Yield imports of private modules and names of another package or of a neighbour."""
    for item in found:
        ours, theirs = neighbour(item.importer), neighbour(item.module)
        private = is_private(item.name) or any(is_private(name) for name in item.module.split("."))
        if ours != theirs and private and item.module not in INTERNAL_API:
            yield item


def of_the_gateway(found: Iterable[Import]) -> Iterator[Import]:
    """Yield imports of the gateway from outside that are not the command line's."""
    for item in found:
        if within(item.module, "routermcp.gateway") and not (
            within(item.importer, "routermcp.gateway") or within(item.importer, USES_THE_GATEWAY)
        ):
            yield item


def crowded(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield folders that hold too many modules."""
    modules = Counter(
        path.parent for folder in folders for path in folder.rglob("*.py") if path.name != "__init__.py"
    )
    yield from (folder for folder, count in modules.items() if count > MAX_MODULES)


def test_no_circle_of_imports() -> None:
    """Nowhere, also not by imports inside functions and of types: a circle is one module in two files."""
    assert circles((item.importer, item.module) for item in own_imports()) == []


@pytest.mark.parametrize("wing", FLOORS)
def test_every_room_is_on_a_floor(wing: str) -> None:
    rooms = {room(module, wing) for module in files(PACKAGES) if within(module, wing)}
    assert sorted(rooms) == sorted(name for floor in FLOORS[wing] for name in floor)


@pytest.mark.parametrize("wing", FLOORS)
def test_rooms_build_on_lower_floors(wing: str) -> None:
    assert [str(item) for item in upwards(own_imports(), wing, FLOORS[wing])] == []


def test_nothing_private_of_a_neighbour_is_imported() -> None:
    assert [str(item) for item in of_neighbours(own_imports())] == []


def test_no_module_imports_a_private_name() -> None:
    assert [str(item) for item in own_imports() if is_private(item.name)] == []


def test_nothing_but_the_command_line_imports_the_gateway() -> None:
    assert [str(item) for item in of_the_gateway(own_imports())] == []


def test_no_folder_is_crowded() -> None:
    assert [folder.relative_to(ROOT).as_posix() for folder in crowded(PACKAGES.values())] == []


def test_what_is_planted_in_a_sub_folder_is_found(tmp_path: Path) -> None:
    """The checks look into folders of folders, and understand every form of an import."""
    sources = {
        "routermcp/gateway/low/deep/first.py": "def f():\n    from ..second import Second",
        "routermcp/gateway/low/second.py": "import routermcp.gateway.low.deep.first",
        "routermcp/gateway/low/third.py": "from ..high import Thing",
        "routermcp/gateway/high/__init__.py": "from ... import _secrets\nfrom ..._secrets import key",
        "routermcp/_secrets.py": "key = 1",
        "routermcp/tools/deep/uses.py": "from ...gateway.low import second",
        "routermcp_adapters/deep/names.py": "from routermcp_proto.deep.core import _hidden",
        "routermcp_proto/deep/core.py": "_hidden = 1",
        **{f"routermcp_proto/deep/more/m{number}.py": "" for number in range(MAX_MODULES + 1)},
    }
    for name, source in sources.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    packages = {name: tmp_path / name for name in PACKAGES}
    found = imports(packages)
    assert circles((item.importer, item.module) for item in found) == [
        ["routermcp.gateway.low.deep.first", "routermcp.gateway.low.second"]
    ]
    assert [item.importer for item in upwards(found, "routermcp.gateway", (("low",), ("high",)))] == [
        "routermcp.gateway.low.third"
    ]
    assert [item.importer for item in of_neighbours(found)] == [
        "routermcp_adapters.deep.names",
        "routermcp.gateway.high",
        "routermcp.gateway.high",
    ]
    assert [item.importer for item in of_the_gateway(found)] == ["routermcp.tools.deep.uses"]
    assert list(crowded(packages.values())) == [tmp_path / "routermcp_proto/deep/more"]
