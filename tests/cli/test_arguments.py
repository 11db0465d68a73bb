"""Arguments of a call as words, and what a tool's schema says of them."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from routermcp.cli.arguments.check import argument_problems
from routermcp.cli.arguments.schema import describe_arguments, type_of
from routermcp.cli.arguments.values import coerce
from routermcp.cli.arguments.words import parse_arguments
from routermcp.cli.commands.tool_names import find_named
from routermcp.cli.failures import UsageProblem
from routermcp.types import Tool
from tests.cli.toolbox import TYPED

#: The same without an argument that is required.
OPTIONAL = {**TYPED, "required": []}

# ---- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("count=7", 7),
        ("count=-7", -7),
        ("ratio=7", 7),
        ("ratio=-1e3", -1000.0),
        ("deep=true", True),
        ("deep=False", False),
        ('tags=["a", 1]', ["a", 1]),
        ('filter={"a": null}', {"a": None}),
        ("text=7", "7"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("level=low", "low"),
        ("level=3", 3),
        ("level=null", None),
        ("limit=3", 3),
        ("limit=null", None),
        ("either=7", 7),
        ("either=seven", "seven"),
        ("free=7", "7"),
        ('text:="7"', "7"),
        ('free:={"a": [1.5]}', {"a": [1.5]}),
    ],
)
def test_values_are_read_by_the_schema(pair: str, value: Any) -> None:
    (read,) = parse_arguments([pair], OPTIONAL).values()
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("count=7.5", "count: expected integer, got '7.5'"),
        ("count=true", "count: expected integer"),
        ("count=", "count: expected integer"),
        ("ratio=NaN", "ratio: expected number"),
        ("ratio=Infinity", "ratio: expected number"),
        ("deep=yes", "deep: expected boolean"),
        ("tags={}", "tags: expected array"),
        ("tags=a,b", "tags: expected array"),
        ("filter=[]", "filter: expected object"),
        ("filter=" + "[" * 100_000, "filter: expected object"),
        ("level=middle", 'level: expected "low"|"high"|3|null'),
        ("limit=x", "limit: expected integer|null"),
        ("text:=x", "text: expected JSON after ':='"),
        ("text:=NaN", "text: expected JSON after ':='"),
        ("colour=1", "there is no argument 'colour': expected one of count, ratio"),
        ("cuont=1", "there is no argument 'cuont', did you mean 'count'?"),
        ("text:=7", "text: expected string, got 7"),
        ("count:=2.5", "count: expected integer, got 2.5"),
        ('tags:={"a": 1}', "tags: expected array"),
        ("level:=true", 'level: expected "low"|"high"|3|null, got true'),
        ('{"count": "1"}', 'count: expected integer, got "1"'),
        ('{"ratoi": 1}', "there is no argument 'ratoi', did you mean 'ratio'?"),
        ('{"count": 1', "the argument: expected a JSON object"),
        ("ratio=1", "count is missing: expected integer"),
        ("=1", "is not key=value"),
        (":=1", "is not key=value"),
        ("text", "is not key=value"),
    ],
)
def test_a_bad_value_says_what_was_expected(pair: str, expected: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse_arguments([pair], TYPED)
    assert expected in str(caught.value)


def test_a_key_counts_once() -> None:
    with pytest.raises(UsageProblem, match="count is given twice"):
        parse_arguments(["count=1", "count=2"], TYPED)


def test_more_keys_are_taken_where_the_schema_takes_them() -> None:
    assert parse_arguments(["x=1"], {"additionalProperties": {"type": "integer"}}) == {"x": 1}
    assert parse_arguments(["x=1"], {"additionalProperties": True}) == {"x": "1"}
    assert parse_arguments(["x=1", "y:=1"], None) == {"x": "1", "y": 1}


@pytest.mark.parametrize("schema", [{"properties": []}, {"properties": None}, {}])
def test_a_schema_without_properties_has_no_arguments(schema: dict[str, Any]) -> None:
    assert describe_arguments(schema) == ""
    with pytest.raises(UsageProblem, match="it takes none"):
        parse_arguments(["x=1"], schema)


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "#/$defs/Nothing"}, {"$ref": 7}, {"type": 7}, {"anyOf": 7}, {"oneOf": [7]}, True, None],
)
def test_a_schema_that_says_nothing_makes_texts(schema: Any) -> None:
    assert parse_arguments(["x=1"], {"properties": {"x": schema}}) == {"x": "1"}


def test_types_are_named_for_people() -> None:
    assert type_of({"type": ["string", "null"]}) == "string|null"
    assert type_of({"oneOf": [{"type": "string"}, {"type": "string"}, {}]}) == "string|any"
    assert type_of(True) == "any"
    assert coerce("x", "1", {}) == "1"


# ---- several at once ---------------------------------------------------------------------------


def test_an_object_is_taken_from_a_word_a_file_and_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "arguments.json"
    file.write_text('{"count": 1, "text": "from the file"}')
    (tmp_path / "tags.json").write_text('["a"]')
    assert parse_arguments([f"@{file}"], TYPED) == {"count": 1, "text": "from the file"}
    assert parse_arguments(['{"count": 2}'], TYPED) == {"count": 2}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"count": 3}')))
    assert parse_arguments(["-"], TYPED) == {"count": 3}
    words = [f"@{file}", "count=4", f"tags:=@{tmp_path / 'tags.json'}"]
    assert parse_arguments(words, TYPED) == {"count": 4, "text": "from the file", "tags": ["a"]}
    assert parse_arguments(["count=4", f"@{file}"], TYPED)["count"] == 4  # whatever their order


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("@nowhere.json", "@nowhere.json cannot be read: No such file"),
        ("text:=@nowhere.json", "@nowhere.json cannot be read"),
        ("@list.json", "list.json: expected a JSON object, got '[]'"),
        ("@latin.json", "it is not UTF-8"),
        ("@long.json", "has more than"),
    ],
)
def test_a_file_that_is_no_object_is_named(
    word: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("routermcp.cli.arguments.words.MAX_ARGUMENTS_BYTES", 8)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "latin.json").write_bytes(b"\xff")
    (tmp_path / "long.json").write_text('{"long": 1}')
    with pytest.raises(UsageProblem) as caught:
        parse_arguments([word], TYPED)
    assert said in str(caught.value)


# ---- the schema ----------------------------------------------------------------------------------

NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "value": {"type": "integer"}}}
DEEP = {
    "type": "object",
    "properties": {
        "node": {"$ref": "#/$defs/Node"},
        "sizes": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "maxItems": 2},
        "page": {"type": "integer", "minimum": 1, "maximum": 9},
        "name": {"type": "string", "minLength": 2, "maxLength": 4},
        "when": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["day"]}]},
        "fixed": {"const": 1},
        "circle": {"$ref": "#/properties/circle"},
        "loop": {"anyOf": [{"$ref": "#/properties/loop"}]},
        "strict": {"type": "object", "properties": {"depth": {}}, "additionalProperties": False},
        "later": {"type": "colour"},
    },
    "$defs": {"Node": NODE},
}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ('node={"next": {"next": {"value": "x"}}}', 'node.next.next.value: expected integer, got "x"'),
        ("sizes=[1, 0]", "sizes[1]: expected more than 0, got 0"),
        ("sizes=[1, 2, 3]", "sizes: expected a length of at most 2"),
        ("page=0", "page: expected at least 1, got 0"),
        ("page=10", "page: expected at most 9, got 10"),
        ("name=a", "name: expected a length of at least 2"),
        ("name=abcde", "name: expected a length of at most 4"),
        ("when:=7", "when: expected string|object, got 7"),
        ("when:={}", "when: expected string|object, got {}"),
        ("fixed=2", "fixed: expected 1, got '2'"),
        ('strict={"dpeth": 1}', "strict: there is no argument 'dpeth', did you mean 'depth'?"),
    ],
)
def test_what_the_schema_forbids_is_not_sent(word: str, said: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse_arguments([word], DEEP)
    assert said in str(caught.value)
    assert parse_arguments([word], DEEP, check=False)


def test_what_the_schema_forbids_is_sent_as_it_is_on_demand() -> None:
    """A value that its type does not allow is the text that was typed."""
    words = ["count=many", "ratio=2", "level=medium", "more=1"]
    assert parse_arguments(words, TYPED, check=False) == {
        "count": "many",
        "ratio": 2,
        "level": "medium",
        "more": "1",
    }


@pytest.mark.parametrize(
    "word",
    [
        'node={"next": {"value": 1.0, "more": 1}}',
        "sizes=[0.5]",
        'when={"day": 1}',
        "fixed=1",
        "circle=x",
        'loop:={"a": 1}',
        'later:="red"',
    ],
)
def test_what_the_schema_leaves_open_is_sent(word: str) -> None:
    assert len(parse_arguments([word], DEEP)) == 1


def test_an_argument_that_other_keywords_may_name_is_sent() -> None:
    for keyword in ("allOf", "anyOf", "oneOf", "$ref", "if", "patternProperties"):
        assert parse_arguments(["x=1"], {keyword: []}) == {"x": "1"}


# ---- names of tools ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "listed"),
    [
        ("git.log", "git.log"),
        ("log", "git.log"),
        ("git__log", "git.log"),
        ("status", "git__status"),
        ("git.status", "git__status"),
        ("a.b.c", "a__b_c"),
        ("lo", None),
        ("it.log", None),
    ],
)
def test_a_tool_is_found_by_short_names_and_both_spellings(typed: str, listed: str | None) -> None:
    tools = [Tool(name=name) for name in ("git.log", "git__status", "a__b_c", "time.now", "date.now")]
    found = find_named(typed, tools)
    assert (found.name if found else None) == listed


def test_a_name_of_several_tools_is_refused() -> None:
    tools = [Tool(name="time.now"), Tool(name="date.now")]
    with pytest.raises(UsageProblem, match=r"time\.now or date\.now"):
        find_named("now", tools)


# ---- patterns ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern", ["([", "*", r"^\p{L}+$", "(?<year>[0-9]+)", r"[\w--\d]", r"\u{1F600}", 7, None]
)
def test_a_pattern_is_the_servers_to_check(pattern: Any) -> None:
    """It may be none that Python knows, as those of ECMAScript are, or no pattern at all."""
    text = {"type": "string", "pattern": pattern}
    schema = {"properties": {"a": text, "b": {"anyOf": [text, {"type": "null"}]}}, "required": ["a"]}
    assert parse_arguments(["a=7", "b=x"], schema) == {"a": "7", "b": "x"}
    assert argument_problems({"a": "x", "b": None}, schema) == []
    assert argument_problems({"a": 7}, schema) == ["a: expected string, got 7"]
