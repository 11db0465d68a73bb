"""What a user gets by installing: few distributions, type information, quick imports."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import routermcp
import routermcp.oauth
import routermcp.types
from tests.third_party import skips_are_failures

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = {
    "routermcp_proto": ROOT,
    "routermcp": ROOT,
    "routermcp_cli": ROOT,
    "routermcp_pytest": ROOT,
    "routermcp_adapters": ROOT / "adapters",
}

#: Distributions besides routermcp that a bare installation may pull in.
MAX_DISTRIBUTIONS = 12

#: Seconds for pip to resolve, with a slow index.
PIP_SECONDS = 90

#: What none but those who use it pay for, at import.
NOT_IMPORTED = ("typer", "rich", "starlette", "uvicorn", "json5", "trio", "httpx", "click", "anyio")


def unavailable(reason: str) -> None:
    """Skip by name; fail where nothing may be skipped."""
    if skips_are_failures():
        pytest.fail(reason)
    pytest.skip(reason)


# ---- installing ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def python_with_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This interpreter, or that of a new virtual environment where it has no pip."""
    if importlib.util.find_spec("pip") is not None:
        return Path(sys.executable)
    place = tmp_path_factory.mktemp("fresh") / "venv"
    try:
        venv.create(place, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as error:
        unavailable(f"a virtual environment with pip cannot be made here: {error}")
    return place / "bin" / "python"


def pip(python: Path, *arguments: str) -> None:
    """Run pip, without patience for an index that does not answer; skip where it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # As variables, they hold for the pip that installs the build backend too.
    environment |= {"PIP_RETRIES": "0", "PIP_TIMEOUT": "10", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [str(python), "-m", "pip", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return unavailable(f"pip {arguments[0]} took longer than {PIP_SECONDS} s")
    if done.returncode != 0:
        unavailable(f"pip {arguments[0]} does not work here: {done.stderr[-1000:]}")
    return None


@pytest.fixture(scope="module")
def wheel(python_with_pip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project."""
    place = tmp_path_factory.mktemp("wheel")
    pip(python_with_pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(place), str(ROOT))
    (path,) = place.glob("routermcp-*.whl")
    return path


@pytest.fixture(scope="module")
def report(python_with_pip: Path, wheel: Path) -> list[dict[str, object]]:
    """The metadata of all that pip would install; it fetches nothing more than those."""
    path = wheel.with_name("report.json")
    as_if_bare = ("--quiet", "--dry-run", "--ignore-installed")
    pip(python_with_pip, "install", *as_if_bare, "--report", str(path), str(wheel))
    return [item["metadata"] for item in json.loads(path.read_text())["install"]]


def test_a_bare_installation_pulls_little(report: list[dict[str, object]]) -> None:
    names = {str(metadata["name"]).lower() for metadata in report}
    assert "routermcp" in names
    assert len(names - {"routermcp"}) <= MAX_DISTRIBUTIONS, sorted(names)
    assert not names & {"trio", "typer", "rich", "starlette", "uvicorn", "mcp"}


def test_the_metadata_is_that_of_the_project(report: list[dict[str, object]]) -> None:
    (metadata,) = [item for item in report if item["name"] == "routermcp"]
    assert metadata["version"] == PROJECT["version"]
    assert metadata["requires_python"] == ">=3.11"
    assert set(metadata["provides_extra"]) == set(PROJECT["optional-dependencies"])  # type: ignore[call-overload]


def test_the_wheel_holds_the_three_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    for package, root in PACKAGES.items():
        assert f"{package}/py.typed" in names
        for path in (root / package).rglob("*.py"):
            assert path.relative_to(root).as_posix() in names
    assert not [name for name in names if name.endswith((".pyc", ".pyo"))]


# ---- what is there ------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES)
def test_types_are_announced(package: str) -> None:
    assert (PACKAGES[package] / package / "py.typed").exists()


def test_the_version_stands_in_one_place_more_only() -> None:
    source = (ROOT / "routermcp" / "_version.py").read_text()
    assert re.findall(r'"(\d+\.\d+\.\d+)"', source) == [PROJECT["version"]]


def imported_with(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has after a statement."""
    program = f"{statement}; import sys; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "adapters")])}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )
    return set(done.stdout.split())


def test_import_loads_only_what_everybody_needs() -> None:
    named = "import routermcp, routermcp.types as types; assert {*types.__all__} <= {*dir(types)}"
    before, after = imported_with("pass"), imported_with(named)
    assert sorted((after - before) & set(NOT_IMPORTED)) == []
    assert (
        not {"h11", "urllib.request", "http.client", "routermcp.oauth.flows", "routermcp.oauth.config"}
        & after
    )
    assert not [name for name in after if name.startswith(("routermcp.cli", "routermcp.gateway"))]
    assert not {"routermcp_proto.types.base", "routermcp_proto.gateway_calls", "email.utils"} & after, (
        "models take half a millisecond each, and load when they are used"
    )


@pytest.mark.parametrize("module", [routermcp, routermcp.types, routermcp.oauth])
def test_each_public_name_is_there_when_it_is_used(module: ModuleType) -> None:
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'Nothing'"):
        _ = module.Nothing


def test_a_blocking_client_loads_no_event_loop() -> None:
    made = imported_with(
        "from routermcp import SyncRouterMCPClient; SyncRouterMCPClient('http://127.0.0.1:9/mcp').disconnect()"
    )
    assert (
        sorted(
            made
            & {
                "trio",
                "httpx",
                "anyio",
                "routermcp_adapters.runtimes.asyncio",
                "routermcp_adapters.runtimes.trio",
            }
        )
        == []
    )


def test_the_core_imports_nothing_that_does_io() -> None:
    loaded = imported_with("import routermcp_proto") - imported_with("import pydantic, h11")
    assert not [name for name in loaded if name.split(".")[0] in ("routermcp", "routermcp_adapters")]
    assert sorted(loaded & {"asyncio", "trio", "httpx", "subprocess", "ssl"}) == []
