"""Entries of several servers with one name or URI: all of them are reachable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from routermcp.gateway.backend import Caller, Listing
from routermcp.gateway.catalog.entries import Catalog, Entry
from routermcp.gateway.catalog.merged import MergedCatalog
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.catalog.tool_search import search_helps
from routermcp.gateway.catalog.watched import RenamedResources
from routermcp.gateway.config.file import parse
from routermcp.gateway.names import DOTTED, PORTABLE, Naming, distinct_uris
from routermcp.types import ConfigError, Prompt, Resource, Tool, ToolNotFoundError
from tests.gateway.servers import Shop, serving, serving_config
from tests.three_runtimes import make_client, run

SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


class Library(Shop):
    """A shop that says whose resources it reads."""

    def __init__(self, owner: str) -> None:
        super().__init__(["saw"])
        self.owner = owner
        self.read: list[str] = []

    async def read_resource(self, uri: str, caller: Caller) -> Mapping[str, Any]:
        self.read.append(uri)
        return {"contents": [{"uri": uri, "text": self.owner}]}


def test_two_servers_with_one_uri_are_both_read(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Library("first"), Library("second")

    async def body() -> None:
        with serving(first) as one, serving(second) as two:
            servers = {"one": {"url": one}, "Two_2": {"url": two}}
            with serving_config({"mcpServers": servers}) as url:
                async with make_client("asyncio", url=url) as client:
                    listed = {resource.uri: resource.name for resource in await client.list_resources()}
                    assert set(listed) == {"demo://readme", "two-2+demo://readme"}
                    templates = {each.uriTemplate for each in await client.list_resource_templates()}
                    assert templates == {"demo://greetings/{name}", "two-2+demo://greetings/{name}"}
                    for uri, text in (
                        ("demo://readme", "first"),
                        ("two-2+demo://readme", "second"),
                        ("demo://greetings/ada", "first"),
                        ("two-2+demo://greetings/ada", "second"),
                    ):
                        (content,) = (await client.read_resource(uri)).contents
                        assert content.to_wire() == {"uri": uri, "text": text}

    run("asyncio", body)
    assert second.read == ["demo://readme", "demo://greetings/ada"]
    warned = [message for message in caplog.messages if "demo://readme" in message]
    assert warned == ["Two_2 has 'demo://readme' too, as one has: its own is called two-2+demo://readme here"]


def catalog(alias: str, *names: str, **settings: Any) -> Catalog:
    return filled(alias, ServerNaming(alias, **{"prefix": alias, **settings}), names)


def filled(alias: str, naming: ServerNaming, names: tuple[str, ...]) -> Catalog:
    made = Catalog(alias, names=naming, allows=lambda _listing, _name: True)
    models = {Listing.TOOLS: Tool, Listing.PROMPTS: Prompt, Listing.RESOURCES: Resource}
    for listing, model in models.items():
        entries: dict[str, Entry] = {}
        made.read(listing, [model.model_validate({"name": name, "uri": name}) for name in names], entries)
        made.replace(listing, entries)
    return made


def owners(merged: MergedCatalog, listing: Listing) -> dict[str, tuple[str, str]]:
    return {here: (entry.alias, entry.name) for here, entry in merged[listing].items()}


def test_tools_without_a_prefix_get_one_where_they_are_not_the_first() -> None:
    merged = MergedCatalog([catalog("a", "x", "y", prefix=""), catalog("b", "y", "z", prefix="")])
    expected = {"x": ("a", "x"), "y": ("a", "y"), "b.y": ("b", "y"), "z": ("b", "z")}
    assert owners(merged, Listing.TOOLS) == owners(merged, Listing.PROMPTS) == expected
    assert all(here == entry.listed()["name"] for here, entry in merged[Listing.TOOLS].items())
    assert merged.spelled(Listing.TOOLS, "a__y") == ["y"]
    assert merged.spelled(Listing.TOOLS, "b__y") == ["b.y"]


def test_nothing_takes_the_name_that_another_entry_was_given() -> None:
    servers = [
        catalog("a", "x", "b.x", prefix=""),
        catalog("b", "x", prefix=""),
        catalog("c", "x", prefix="b"),
    ]
    found = owners(MergedCatalog(servers), Listing.TOOLS)
    assert set(found.values()) == {("a", "x"), ("a", "b.x"), ("b", "x"), ("c", "x")}
    uris = owners(MergedCatalog([catalog("a", "m:x", "b+m:x"), catalog("b", "m:x")]), Listing.RESOURCES)
    assert set(uris.values()) == {("a", "m:x"), ("a", "b+m:x"), ("b", "m:x")}


@pytest.mark.parametrize("alias", ["a", "A_b", "1", "_", "-x", "x" * 50])
def test_other_uris_are_uris(alias: str) -> None:
    for uri in distinct_uris(alias, "file:///it"):
        assert SCHEME.fullmatch(uri.partition(":")[0])


def test_changes_of_a_renamed_resource_are_those_of_its_own_server() -> None:
    watched = RenamedResources()
    watched.add("b", "m:x", "b+m:x")
    assert list(watched.changed("b", "m:x")) == ["b+m:x"]
    assert list(watched.changed("b", "m:x/part")) == ["b+m:x/part"]
    assert list(watched.changed("a", "m:x")) == list(watched.changed("b", "m:xy")) == []
    assert watched.discard("m:x") is None
    assert watched.discard("b+m:x") == ("b", "m:x")
    assert list(watched.changed("b", "m:x")) == []


# ---- names and descriptions of one server ------------------------------------------------------------


@pytest.mark.parametrize("naming", [DOTTED, PORTABLE, Naming("-", 40)], ids=repr)
def test_a_tool_has_the_name_and_the_description_that_are_set(naming: Naming) -> None:
    made = catalog(
        "gh",
        "list",
        "get",
        naming=naming,
        prefix="hub",
        renames={"list": "issues"},
        descriptions={"list": "All"},
    )
    here = naming.name("hub", "issues")
    assert set(made[Listing.TOOLS]) == {here, naming.name("hub", "get")}
    assert made[Listing.TOOLS][here].listed() == {
        "name": here,
        "description": "All",
        "uri": "list",
        "inputSchema": {"type": "object"},
    }
    assert set(made[Listing.PROMPTS]) == {naming.name("hub", "list"), naming.name("hub", "get")}
    merged = MergedCatalog([made])
    for name in ("hub.issues", "hub__issues", "gh.list", "gh__list"):
        assert name == here or merged.spelled(Listing.TOOLS, name) == [here]
        assert made.own_name(Listing.TOOLS, name) == "list"
    assert merged.named(Listing.TOOLS, "list") == [here]


def test_a_server_cannot_take_a_name_that_the_operator_has_given(caplog: pytest.LogCaptureFixture) -> None:
    made = catalog("a", "delete", "soft_delete", renames={"soft_delete": "delete"})
    assert {here: entry.name for here, entry in made[Listing.TOOLS].items()} == {"a.delete": "soft_delete"}
    assert "a.delete" in caplog.text


def test_names_that_are_there_twice_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert set(catalog("a", "x", "x", "y")[Listing.TOOLS]) == {"a.x", "a.y"}
    assert len([message for message in caplog.messages if "a.x" in message]) == 1


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"prefix": "a.b"}, "prefix"),
        ({"prefix": "RouterMCP"}, "prefix"),
        ({"rename": {"a": "b c"}}, "rename.a"),
        ({"rename": {"a": "c", "b": "c"}}, "rename.b"),
        ({"describe": {"a": 5}}, "describe.a"),
    ],
)
def test_names_of_a_server_that_cannot_be_are_refused(settings: dict[str, Any], key: str) -> None:
    text = json.dumps({"mcpServers": {"s": {"command": "it", **settings}}})
    with pytest.raises(ConfigError, match=rf"mcpServers\.s\.{key}: "):
        parse(text, source="it", environ={})


def test_the_search_is_offered_where_there_is_something_to_search() -> None:
    assert [search_helps(1, 1), search_helps(1, 19), search_helps(1, 20)] == [False, False, True]
    assert [search_helps(2, 1), search_helps(0, 0)] == [True, True]


def test_the_search_can_be_switched_off() -> None:
    async def body() -> None:
        with (
            serving(Shop(f"tool_{number}" for number in range(20))) as at,
            serving_config({"toolSearch": False, "mcpServers": {"a": {"url": at}}}) as url,
        ):
            async with make_client("asyncio", url=url) as client:
                assert all(tool.name.startswith("a.") for tool in await client.list_tools())
                with pytest.raises(ToolNotFoundError):
                    await client.call_tool("routermcp.searchMcpForTask", {"task": "it"})

    run("asyncio", body)
