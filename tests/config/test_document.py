"""YAML as a tree with places: what is refused, where, and within which bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fame_cli.config.document import MAX_CHARACTERS, MAX_DEPTH, Items, Leaf, Mark, Node, Table, read, resolve
from fame_cli.errors import ConfigError


def failure(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, "f.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def leaf(text: str, **env: str) -> Leaf:
    node: Node = resolve(read(text, "f.yaml"), env)
    assert isinstance(node, Table)
    value = node.values["a"]
    assert isinstance(value, Leaf)
    return value


def test_every_key_and_value_knows_its_place() -> None:
    tree = read("a: 1\nb:\n  - x\n  - c: y\n", "f.yaml")
    items = tree.values["b"]
    assert isinstance(items, Items)
    inner = items.values[1]
    assert isinstance(inner, Table)
    assert tree.key_marks["b"] == Mark("f.yaml", 2, 1)
    assert items.values[0].mark == Mark("f.yaml", 3, 5)
    assert inner.values["c"].mark == Mark("f.yaml", 4, 8)


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "12", "1:30", "0777", "2024-01-01", "true", "~x"])
def test_a_plain_word_stays_the_text_it_is(word: str) -> None:
    assert leaf(f"a: {word}").data() == word


@pytest.mark.parametrize("word", ["", "~", "null", "Null"])
def test_an_empty_value_is_null(word: str) -> None:
    assert leaf(f"a: {word}").data() is None


def test_a_quoted_empty_value_is_text() -> None:
    assert leaf("a: ''").data() == ""


def test_a_value_that_comes_out_of_a_variable_is_never_null() -> None:
    assert leaf("a: ${X}", X="null").data() == "null"


def test_a_variable_cannot_add_structure() -> None:
    assert leaf("a: ${X}", X="1\nb: [2, {c: *d}]").data() == "1\nb: [2, {c: *d}]"


def test_a_doubled_dollar_leaves_a_quoted_value_text() -> None:
    text = leaf('a: "$$5"').data()
    assert text == "$5"
    assert not text.is_typed


def test_a_variable_makes_a_quoted_value_typed_by_its_field() -> None:
    text = leaf('a: "${X}"', X="5").data()
    assert text is not None
    assert text.is_typed


def test_a_secret_variable_marks_the_value() -> None:
    assert leaf("a: ${DB_PASSWORD}", DB_PASSWORD="x").is_secret


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: x ${N}", "f.yaml:1:6: "),
        ("b: 1\na: 'x ${N}'", "f.yaml:2:7: "),
        ('a: "\\t ${N}"', "f.yaml:1:4: "),
        ("a: |\n  x\n  ${N}\n", "f.yaml:1:4: "),
    ],
)
def test_a_missing_variable_is_reported_where_it_stands(text: str, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        leaf(text)
    assert str(caught.value) == f"{place}variable N isn't set; set it, or write ${{N:-default}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f.yaml:1:1: the file has no settings; begin with kind"),
        ("# only a comment\n", "f.yaml:1:1: the file has no settings"),
        ("{}", "f.yaml:1:1: the file has no settings"),
        ("word", "f.yaml:1:1: the file isn't a mapping"),
        ("[a]", "f.yaml:1:1: the file"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document"),
        ("a: 1\nb: 2\na: 3\n", 'f.yaml:3:1: duplicate key "a"; remove one; the first is on line 1'),
        ("a: {b: 1, b: 2}", 'f.yaml:1:11: duplicate key "b"'),
        ("a: 1\n\tb: 2", "f.yaml:2:1: not YAML: "),
        ("a: b: c", "f.yaml:1:5: not YAML: mapping values are not allowed here; check the indentation"),
        ("a: [1", "not YAML"),
        ("a: 'x", "not YAML"),
        ("a: [{b: ${X}}]", 'put quotes around a value with a variable, as in "${NAME}"'),
        ("a: !!python/object:os.system x", "f.yaml:1:4: the tag"),
        ("a: !!str 5", "f.yaml:1:4: the tag"),
        ("a: &x {b: 1}\nc: {<<: *x}", "f.yaml:2:5: merge keys (<<) aren't supported"),
        ("${A}: 1", 'f.yaml:1:1: a variable in the key "${A}"'),
        ("? [a]\n: 1", "f.yaml:1:3: a key must be plain text"),
        ("a: *x", 'f.yaml:1:4: the alias "*x" has no anchor'),
        ("a: &x [*x]", 'the alias "*x" contains itself'),
        ("a: x\x07", "f.yaml:1:5: a control character"),
        ('a: "\\ud800"', "f.yaml:1:4: half a surrogate pair"),
        ('"\\ud800": 1', "f.yaml:1:1: half a surrogate pair"),
        ('a: "\\UFFFFFFFF"', "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, said: str) -> None:
    assert said in failure(text)


def test_an_alias_stands_for_its_value() -> None:
    tree = read("a: &x [1]\nb: *x\n", "f.yaml")
    assert tree.data() == {"a": ["1"], "b": ["1"]}


def test_aliases_do_not_multiply_without_bound() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 9)]
    assert "aliases counted in full" in failure("\n".join(lines))


def test_aliases_do_not_nest_without_bound() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{level}: &a{level} [*a{level - 1}]" for level in range(1, 200)]
    assert f"nested deeper than {MAX_DEPTH}" in failure("\n".join(lines))


def test_depth_is_bounded() -> None:
    assert f"nested deeper than {MAX_DEPTH}" in failure("a: " + "[" * 5_000)


def test_size_is_bounded() -> None:
    assert "larger than" in failure("a: " + "x" * MAX_CHARACTERS)


YAML_LIKE = st.text(alphabet="ab:- \n[]{}\"'&*!|>#%?,$\\\t~1", max_size=80)


@settings(max_examples=300)
@given(st.one_of(YAML_LIKE, st.text(max_size=60)))
def test_any_text_gives_a_tree_or_a_config_error(text: str) -> None:
    try:
        said = str(resolve(read(text, "f.yaml"), {}).mark.error("fine"))
    except ConfigError as error:
        said = str(error)
    assert said.startswith("f.yaml:")
    assert "\n" not in said
