"""What a notebook shows of a result: nothing that a server wrote is markup there."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from routermcp_proto.display.tool_results import MAX_IMAGE_CHARS, MAX_ITEMS, MAX_TEXT_CHARS
from routermcp_proto.display.tool_tables import MAX_DESCRIPTION_CHARS, MAX_SHOWN_ARGUMENTS, MAX_TOOLS
from routermcp_proto.types import ListToolsResult, Tool, ToolList, ToolResult


class Page(HTMLParser):
    """The elements and the text that a browser makes of HTML."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(value._repr_html_())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def images(self) -> list[str | None]:
        return [attributes["src"] for tag, attributes in self.elements if tag == "img"]


def page(*content: dict[str, Any], **members: Any) -> Page:
    return Page(ToolResult(content=list(content), **members))


def image(data: Any, media_type: Any = "image/png") -> dict[str, Any]:
    return {"type": "image", "data": data, "mimeType": media_type}


HOSTILE = "</pre><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    "item",
    [
        {"type": "text", "text": HOSTILE},
        {"type": HOSTILE},
        image("AAAA", HOSTILE),
        image("AAAA", 'image/png" onerror="alert(1)'),
    ],
)
def test_what_a_server_wrote_is_no_markup(item: dict[str, Any]) -> None:
    shown = page(item)
    assert {tag for tag, _ in shown.elements} <= {"code", "div", "pre"}
    assert "alert(1)" in shown.text


def test_data_of_an_image_stays_in_its_attribute() -> None:
    shown = page(image(HOSTILE))
    assert [tag for tag, _ in shown.elements] == ["div", "div", "img"]
    assert shown.images == [f"data:image/png;base64,{HOSTILE}"]
    assert set(shown.elements[-1][1]) == {"alt", "src", "style"}


def test_structured_content_stands_in_for_missing_items() -> None:
    shown = page(structuredContent={"name": HOSTILE})
    assert [tag for tag, _ in shown.elements] == ["div", "pre"]
    assert "alert(1)" in shown.text
    assert page().text == ""


def test_texts_and_images_keep_their_order() -> None:
    html = ToolResult(content=[image("AAAA"), {"type": "text", "text": "caption"}])._repr_html_()
    assert html.index("data:image/png;base64,AAAA") < html.index("caption")


@pytest.mark.parametrize(
    "media_type", ["image/svg+xml", "text/html", "IMAGE/PNG;x", "", None, 5, ["image/png"]]
)
def test_only_raster_images_are_shown(media_type: Any) -> None:
    shown = page(image("AAAA", media_type))
    assert shown.images == []
    assert shown.text == f"Image of type {media_type if isinstance(media_type, str) else 'unknown'}"


def test_an_image_or_a_text_without_content_is_a_note() -> None:
    assert page(image(None), {"type": "text"}).text == "Image of type image/pngItem of type text"


def test_an_error_is_marked() -> None:
    failed = page({"type": "text", "text": "no such city"}, isError=True)
    assert failed.text == "The tool reported an errorno such city"
    assert "error" not in page({"type": "text", "text": "sunny"}).text


def test_images_are_bounded_together() -> None:
    half = "A" * (MAX_IMAGE_CHARS // 2)
    shown = page(image(half), image(half), image("A"))
    assert len(shown.images) == 2
    assert "image/png, too large to show: 1 characters" in shown.text


def test_texts_are_bounded_together() -> None:
    shown = page({"type": "text", "text": "a" * MAX_TEXT_CHARS}, {"type": "text", "text": "bcd"})
    assert shown.text == "a" * MAX_TEXT_CHARS + "cut after 100,000 characters of text"


def test_items_and_their_types_are_bounded() -> None:
    shown = page(*[{"type": "x" * 10_000}] * (MAX_ITEMS + 2))
    assert "2 more items" in shown.text
    assert len(shown.text) < MAX_ITEMS * 250


def test_of_a_large_structured_content_a_part_is_written() -> None:
    shown = page(structuredContent=["a" * 1000] * 1_000_000)
    assert MAX_TEXT_CHARS < len(shown.text) < MAX_TEXT_CHARS + 100


def test_what_is_nested_deeply_is_cut() -> None:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    assert page(structuredContent=nested).text.endswith("cut after 100,000 characters of text")


def test_texts_are_no_formulas_and_have_no_lone_surrogates() -> None:
    shown = page({"type": "text", "text": "$\\href{javascript:alert(1)}{x}$ \ud800"})
    assert shown.elements[0] == ("div", {"class": "tex2jax_ignore mathjax_ignore"})
    assert shown.text.endswith(" ?")


def tool(name: str, **members: Any) -> Tool:
    return Tool.model_validate({"name": name, **members})


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": [1]}}, "required": ["a"]}


def test_tools_are_a_table() -> None:
    tools = ToolList([tool("add", description="Add two numbers.", inputSchema=SCHEMA), tool("now")])
    shown = Page(tools)
    assert shown.text == "tooldescriptionargumentsaddAdd two numbers.a: integerb?now"
    assert [tag for tag, _ in shown.elements].count("tr") == 3
    assert Page(ListToolsResult(tools=tools)).text == shown.text
    assert Page(tools[1]).text == "tooldescriptionargumentsnow"


@pytest.mark.parametrize(
    "members",
    [
        {"name": HOSTILE},
        {"description": HOSTILE},
        {"inputSchema": {"properties": {HOSTILE: {}}}},
        {"inputSchema": {"properties": {"a": {"type": HOSTILE}}}},
    ],
)
def test_what_a_server_wrote_of_a_tool_is_no_markup(members: dict[str, Any]) -> None:
    shown = Page(tool(**{"name": "add", **members}))
    tags = {tag for tag, _ in shown.elements}
    assert tags == {"code", "div", "pre", "table", "tbody", "td", "th", "thead", "tr"}
    assert "alert(1)" in shown.text


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"properties": ["a"]}, ""),
        ({"properties": {"a": True}, "required": {"a": 1}}, "a?"),
        ({"properties": {"a": {"type": ["string", "null"]}}, "required": [["a"]]}, "a?"),
    ],
)
def test_a_schema_may_have_any_values(schema: dict[str, Any], arguments: str) -> None:
    assert Page(tool("add", inputSchema=schema)).text == f"tooldescriptionargumentsadd{arguments}"


def test_tables_are_bounded() -> None:
    properties = {f"{number}" * 1000: {"type": "x" * 1000} for number in range(MAX_SHOWN_ARGUMENTS + 3)}
    one = tool("n" * 1000, description="d" * 10_000, inputSchema={"properties": properties})
    shown = Page(one)
    assert "3 more arguments" in shown.text
    assert len(shown.text) < MAX_DESCRIPTION_CHARS + (MAX_SHOWN_ARGUMENTS + 2) * 2 * 140
    assert "5 more tools" in Page(ToolList([tool("add")] * (MAX_TOOLS + 5))).text
