"""The text of docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]

WAYS = {"json": "JSON", "events": "event stream", "tls": "JSON over TLS", "handshake": "JSON, handshake era"}

HEAD = """# Performance

CPU time of one `tools/call`, beside the clients that could be used instead:

![CPU time of a tool call, by client](pictures/performance-calls.svg)

This page is written by `python -m benchmarks report` from `docs/performance.json`.

## How to repeat it
```
python -m venv .cache/benchmark
.cache/benchmark/bin/pip install -e '.[cli,gateway,trio]' mcp==2.3.0 fastmcp==4.2.3 httpx2 aiohttp uvloop
.cache/benchmark/bin/python -m benchmarks run      # all figures of this page, at most ten minutes
.cache/benchmark/bin/python -m benchmarks report   # this page
```
A quiet machine with two cores is enough: the servers are processes of their own. `benchmarks/README.md` says
what each program does, and `--check` compares one with its bounds.

## How to read it
Each figure is the median of blocks in which the clients take turns in one process, and CPU time is that of
the process alone, without its server's. "of ours" is the median of what the other client took as a multiple
of this one in the same turn. Compare ratios: the microseconds of two machines, or of two runs, say little.
Every answer is checked in every program. Latencies are of calls that keep both cores busy, so they contain
the wait for the server, which the clients share. The [handshake era](glossary.md#handshake-era) has the
revisions up to 2025-11-25.
"""

FALL = """
## What isn't measured
* A real network: all is loopback, so that neither distance, loss nor bandwidth counts, nor a tool's own time.
* Windows and macOS, other processors, and other versions of Python than the one above.
* Memory of a client under load, other than of long lists, large results and open sessions.
* Sign-in: tokens are there already, and no refresh falls into a measurement.
* The gateway with more than one worker, with Redis, with API keys or limits, and over TLS.
* Long runs: `tests/soak` looks for what grows in them.
* Requests of servers (elicitation, sampling), subscriptions, stdio and WebSocket.
* The gateways of others in their best configuration: they run as their documentation starts them.
"""


def page(found: dict[str, Any]) -> str:
    """Return the page."""
    measured = found["benchmarks"]
    sections: dict[str, Callable[[Row], str]] = {
        "http": calls,
        "list": lists,
        "stream": streams,
        "sessions": sessions,
        "scale": scale,
        "gateway": gateway,
        "import": imports,
        "proto": core,
        "profile": profile,
    }
    parts = [HEAD, environment(found), must(measured)]
    parts += [section(measured[name]) for name, section in sections.items() if name in measured]
    return "".join([*parts, FALL])


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    rule = "|" + "|".join(["---"] * len(headings)) + "|"
    return (
        "\n".join(
            ["| " + " | ".join(headings) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)]
        )
        + "\n"
    )


def number(value: float) -> str:
    """Return a figure with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def kind(row: Row) -> str:
    """Say what a call was like."""
    size = f"{row['letters'] // 1024} KiB" if row["letters"] else "100 B"
    return f"{WAYS[row['way']]}, {size}"


def environment(found: dict[str, Any]) -> str:
    """Say what was measured, and on what."""
    measured = found["benchmarks"]
    at = next(iter(measured.values()))["environment"]
    versions = {**at, **measured.get("gateway", {}).get("versions", {})}
    machine = ("python", "system", "cpu", "cpus", "machine")
    named = ", ".join(f"{name} {version}" for name, version in versions.items() if name not in machine)
    seconds = sum(each["seconds"] for each in measured.values())
    cpu = sum(each["cpu_seconds"] for each in measured.values())
    return f"""
Measured on {found["date"]} with Python {at["python"]} on {at["system"]}, {at["cpus"]} processors
({at["cpu"] or at["machine"]}), in {seconds:.0f} s, of which the programs used {cpu:.0f} s of CPU.
Versions: {named}.
{found.get("note", "")}"""


def must(measured: dict[str, Row]) -> str:
    """Return the table of what must hold."""
    rows = [
        (
            bound["name"],
            number(bound["measured"]) + bound["unit"],
            f"{'≤' if bound['at_most'] else '≥'} {number(bound['must'])}{bound['unit']}",
            "" if bound["stretch"] is None else number(bound["stretch"]) + bound["unit"],
            "yes" if holds(bound) else "**no**",
        )
        for each in measured.values()
        for bound in each["bounds"]
    ]
    return "\n## What must hold\n" + table(("", "measured", "must", "stretch", "holds"), rows)


def holds(bound: Row) -> bool:
    """Whether a figure is what it must be, without any margin."""
    return bound["measured"] <= bound["must"] if bound["at_most"] else bound["measured"] >= bound["must"]


def calls(found: Row) -> str:
    """Write the tables of calls over HTTP."""
    rows = found["rows"]
    clients = list(dict.fromkeys(row["client"] for row in rows))
    cases = list(dict.fromkeys((kind(row), row["concurrency"]) for row in rows))
    by = {(row["client"], kind(row), row["concurrency"]): row for row in rows}

    def cell(client: str, case: tuple[str, int]) -> str:
        row = by.get((client, *case))
        if row is None:
            return ""
        return f"{row['cpu']:.0f}" if client == clients[0] else f"{row['cpu']:.0f} ({row['of_ours']:.1f}x)"

    cpu = table(
        ("answer", "at once", *clients),
        ((case[0], f"{case[1]:,}", *(cell(client, case) for client in clients)) for case in cases),
    )
    times = table(
        ("answer", "at once", "client", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "of calls"),
        (
            (
                kind(row),
                f"{row['concurrency']:,}",
                row["client"],
                number(row["calls_per_second"]),
                *(number(row[name] / 1000) for name in ("p50", "p99", "p999")),
                f"{row['calls']:,}",
            )
            for row in rows
        ),
    )
    return (
        "\n## Calls over HTTP\nMicroseconds of CPU of a `tools/call`, and in brackets what that is of "
        "ours. `socket` sends ready-made bytes and parses the JSON; httpx, httpx2 and aiohttp POST and "
        "parse the JSON, without any protocol; `routermcp, httpx` is this client through an "
        "`httpx.AsyncClient`.\n\n"
        f"{cpu}\n<details><summary>Calls per second and latencies</summary>\n\n{times}\n</details>\n"
    )


def lists(found: Row) -> str:
    """Write the section of long lists."""
    rows = ((name, number(row["ms"]), number(row["mib"])) for name, row in found["clients"].items())
    return "\n## A list of 10,000 tools\nCPU and peak memory of `tools/list`.\n\n" + table(
        ("client", "CPU ms", "MiB"), rows
    )


def streams(found: Row) -> str:
    """Write the section of streams."""
    rows = (
        (row["stream"], row["client"], f"gave up: {row['failed'].replace('|', '/')}", "", "", "")
        if row["failed"]
        else (
            row["stream"],
            row["client"],
            number(row["cpu_ms"]),
            number(row["ms"]),
            number(row["mib"]),
            number(row["first_us"]) if row["first_us"] else "",
        )
        for row in found["rows"]
    )
    return (
        "\n## Streams\nCalls that report progress, and results of 50 MB, read in processes of their own. "
        "httpx and aiohttp read the same bytes and parse each message, without any protocol. The first "
        "event is timed from the call to the callback.\n\n"
        + table(("", "client", "CPU ms", "ms", "MiB", "first event µs"), rows)
    )


def sessions(found: Row) -> str:
    """Write the section of open sessions."""
    rows = (
        (
            row["server"],
            "yes" if row["tokens"] else "no",
            number(row["connected"]),
            number(row["called"]),
            number(row["requests"]),
            number(row["microseconds"]),
        )
        for row in found["rows"]
    )
    return (
        "\n## Open sessions\nEach of 10,000 sessions of one client, by what its server is like.\n\n"
        + table(
            ("server", "tokens", "bytes", "bytes after a call", "requests to connect", "µs to connect"), rows
        )
    )


def scale(found: Row) -> str:
    """Write the section of growth."""
    rows = (
        (name, " · ".join(f"{size:,.0f}: {number(cost)}" for size, cost in points))
        for name, points in found["lines"].items()
    )
    return (
        "\n## How it grows\nMilliseconds of CPU by size, the least of some runs; the payload is in bytes.\n\n"
        "![CPU time against size](pictures/performance-scale.svg)\n\n" + table(("", "size: ms"), rows)
    )


def gateway(found: Row) -> str:
    """Write the section of the gateway."""
    rows = (
        (
            row["gateway"],
            str(row["concurrency"]),
            number(row["cpu"]),
            f"{row['of_client']:.2f}x",
            number(row["calls_per_second"]),
            number(row["kb_per_connection"]),
        )
        for row in found["rows"]
    )
    return (
        "\n## The gateway\nCPU of the gateway's process for a `tools/call` that it passes on, and that as "
        "a multiple of this project's client, which calls. `routermcp` (`routermcp serve`) and fastmcp's "
        "proxy stand before a server on HTTP; `routermcp proxy --stdio`, mcp-proxy and supergateway before "
        "the same server on its pipes. Memory is what the process has grown by for each of the clients "
        "that have made a call and stay connected.\n\n"
        + table(("gateway", "at once", "CPU µs", "of its client", "calls/s", "KB of a client"), rows)
    )


def imports(found: Row) -> str:
    """Write the section of imports."""
    rows = ((f"`import {name}`", number(ms)) for name, ms in found["ms"].items())
    goal = number(found["goal_ms"])
    return (
        f"\n## Import\nMilliseconds of CPU over those of `python -c pass`; the goal is {goal} on a"
        " machine that"
        " does nothing else.\n\n" + table(("", "ms"), rows)
    )


def core(found: Row) -> str:
    """Write the section of the protocol core."""
    rows = (
        (
            f"{WAYS[row['framing']]}, {row['letters']:,} letters",
            number(row["microseconds"]),
            number(row["by_hand"]),
            str(row["calls"]),
            str(row["objects"]),
            number(row["peak"]),
        )
        for row in found["rows"]
    )
    return (
        "\n## The protocol core alone\nA request written and its response read, without a socket; beside "
        "it h11, `json.dumps` and pydantic's `from_json` by hand, without any check.\n\n"
        + table(("", "µs", "µs by hand", "function calls", "objects", "peak bytes"), rows)
    )


def profile(found: Row) -> str:
    """Write the section of the profile."""
    rows = (
        (f"`{row['name']}`", row["file"], f"{row['share']:.1%} ± {row['error']:.1%}", row["reason"])
        for row in found["rows"]
    )
    return (
        "\n## Where the time of one call goes\nFunctions that take more than 3 % of a call's CPU with what "
        "they"
        f" call in C, by {found['notes']:,} looks of a timer. All others, each under 3 %, take"
        f" {found['rest']:.0%}.\n\n" + table(("function", "file", "share", "why"), rows)
    )
