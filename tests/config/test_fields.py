"""Single values: what each type takes, and what it refuses in which words."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from fame_cli.config import fields
from fame_cli.config.document import Text


def plain(text: str) -> Text:
    return Text(text, is_plain=True, is_interpolated=False)


def literal(text: str) -> Text:
    return Text(text, is_plain=False, is_interpolated=False)


def variable(text: str) -> Text:
    return Text(text, is_plain=False, is_interpolated=True)


def taken(kind: Any, value: object) -> object:
    return TypeAdapter(kind).validate_python(value)


def refusal(kind: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        taken(kind, value)
    details = caught.value.errors()[0]
    return f"{details.get('ctx', {}).get('what', details['msg'])}"


@pytest.mark.parametrize(("value", "number"), [(plain("64"), 64), (variable("64"), 64), (plain("-1"), -1), (5, 5)])
def test_a_whole_number_is_read(value: object, number: int) -> None:
    assert taken(fields.Whole, value) == number


@pytest.mark.parametrize(
    "value",
    [
        plain("1_000"),
        plain("0x10"),
        plain("1.0"),
        plain("many"),
        literal("5"),
        plain("9" * 30),
        True,
        1.5,
        variable(""),
    ],
)
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    assert refusal(fields.Whole, value)


@pytest.mark.parametrize(("value", "number"), [(plain("30"), 30), (plain("0.5"), 0.5), (variable("1e3"), 1000), (2, 2)])
def test_a_number_is_read(value: object, number: float) -> None:
    assert taken(fields.Number, value) == number


@pytest.mark.parametrize("value", [plain(".inf"), plain("nan"), plain("1e999"), plain("soon"), literal("5"), True])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    assert refusal(fields.Number, value)


@pytest.mark.parametrize("value", [plain("true"), plain("yes"), plain("on"), variable("1"), variable("TRUE"), True])
def test_a_switch_is_on(value: object) -> None:
    assert taken(fields.Flag, value) is True


@pytest.mark.parametrize("value", [plain("false"), plain("no"), plain("Off"), variable("0"), False])
def test_a_switch_is_off(value: object) -> None:
    assert taken(fields.Flag, value) is False


@pytest.mark.parametrize("value", [plain("1"), plain("2"), literal("true"), plain("maybe")])
def test_what_is_no_switch_is_refused(value: object) -> None:
    assert refusal(fields.Flag, value)


@pytest.mark.parametrize("word", ["on", "no", "12", "true", "007"])
def test_a_text_field_takes_a_plain_word_as_it_is_written(word: str) -> None:
    assert taken(fields.Plain, plain(word)) == word


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (plain("1"), 1),
        (plain("0o17"), 15),
        (plain("0x1F"), 31),
        (plain("1.5"), 1.5),
        (plain("true"), True),
        (plain("False"), False),
        (plain("tRue"), "tRue"),
        (plain("on"), "on"),
        (plain("~"), None),
        (literal("1"), "1"),
        (variable("1"), "1"),
        (plain("1.2.3"), "1.2.3"),
        ([plain("1"), {"a": plain("x")}], [1, {"a": "x"}]),
    ],
)
def test_a_free_value_is_read_as_yaml_1_2_reads_it(value: object, expected: object) -> None:
    assert taken(fields.Json, value) == expected


@pytest.mark.parametrize("word", [".inf", "-.INF", ".nan", "1e999", "1" * 30])
def test_a_number_that_json_cannot_carry_is_refused(word: str) -> None:
    assert "JSON" in refusal(fields.Json, plain(word))


@pytest.mark.parametrize(
    "url",
    [
        "ws://h/fame/v1/attach/ws/downstream",
        "wss://a.b:1/x/FAME/v1/attach/ws/downstream",
        "ws://[::1]:80/fame/v1/attach/ws/downstream",
    ],
)
def test_an_attach_url_is_taken(url: str) -> None:
    assert taken(fields.UpstreamUrl, url) == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h/fame/v1/attach/ws/downstream", "doesn't begin with ws:// or wss://"),
        ("h:8000", "doesn't begin with ws://"),
        ("", "doesn't begin with ws://"),
        ("ws://", "no valid host"),
        ("ws://:80/fame/v1/attach/ws/downstream", "no valid host"),
        ("ws://h:99999/fame/v1/attach/ws/downstream", "isn't a URL"),
        ("ws://h:x/fame/v1/attach/ws/downstream", "isn't a URL"),
        ("ws://[::1/fame/v1/attach/ws/downstream", "isn't a URL"),
        ("ws://h h/fame/v1/attach/ws/downstream", "no valid host"),
        ("ws://h/fame/v1/attach/ws/downstream\n", "no valid host"),
        ("ws://h", "isn't an attach URL"),
        ("ws://h/fame/v1/attach/ws/downstream/me", "isn't an attach URL"),
        ("ws://h/fame/v1/attach/ws/downstream?x=1", "isn't an attach URL"),
        ("ws://u:p@h/fame/v1/attach/ws/downstream", "user name"),
        ("ws://h/fame/v1/attach/ws/peer", "attaches as peer, not as downstream"),
    ],
)
def test_what_is_no_attach_url_is_refused(url: str, said: str) -> None:
    assert said in refusal(fields.UpstreamUrl, url)


@pytest.mark.parametrize(
    ("listen", "parts"),
    [("127.0.0.1:8000", ("127.0.0.1", 8000)), ("localhost:0", ("localhost", 0)), ("[::1]:80", ("::1", 80))],
)
def test_listen_is_host_and_port(listen: str, parts: tuple[str, int]) -> None:
    assert fields.split_listen(listen) == parts


@pytest.mark.parametrize(
    "listen", ["8000", ":8000", "h", "h:", "h:99999", "h:-1", "::1:80", "a b:80", "h:8o", "http://h:1"]
)
def test_what_is_no_host_and_port_is_refused(listen: str) -> None:
    assert refusal(fields.Listen, listen)


@pytest.mark.parametrize("address", ["math1@fame.fabric", "a_b-c@*.fame.fabric", "x@y"])
def test_the_address_of_an_agent_is_taken(address: str) -> None:
    assert taken(fields.LogicalAddress, address) == address


@pytest.mark.parametrize(
    "address", ["math1", "@fame.fabric", "a@", "a b@c", "a@*", "x@/s1/a1", "x@h/s1", "__sys__@fame.fabric"]
)
def test_what_no_agent_can_bind_is_refused(address: str) -> None:
    assert refusal(fields.LogicalAddress, address)


@pytest.mark.parametrize("name", ["fame.fabric", "*.fame.fabric", "*"])
def test_a_logical_name_is_taken(name: str) -> None:
    assert taken(fields.LogicalName, name) == name


@pytest.mark.parametrize("name", ["", "a b", "x@y", "/s1", "h/s1", "a.*"])
def test_what_is_no_logical_name_is_refused(name: str) -> None:
    assert refusal(fields.LogicalName, name)


@pytest.mark.parametrize("text", ["m:C", "a.b.c:make", "agents/m:C", "../x/m:C", "/srv/agents/m:C"])
def test_an_import_is_taken(text: str) -> None:
    assert taken(fields.ImportText, text) == text


@pytest.mark.parametrize("text", ["m", "m:", ":C", "m.py:C", "m:C:D", "a-b:C", "m C:D", "m/:C"])
def test_what_is_no_import_is_refused(text: str) -> None:
    if text == "m.py:C":  # a dotted module as far as anyone can tell
        assert taken(fields.ImportText, text) == text
    else:
        assert refusal(fields.ImportText, text)


@pytest.mark.parametrize(
    ("kind", "good", "wrong"),
    [
        (fields.NodeName, "peer-sentinel1", "a/b"),
        (fields.OperationName, "tasks/send", "two words"),
        (fields.OperationName, "add", "agent.describe"),
        (fields.Capability, "fame.capability.math", "a b"),
        (fields.VariableName, "FAME_X1", "1X"),
        (fields.HeaderText, "Bearer x", "a\r\nb: c"),
        (fields.HttpUrl, "https://h/p?q=1", "ftp://h"),
    ],
)
def test_a_name_of_each_kind_is_taken_or_refused(kind: object, good: str, wrong: str) -> None:
    assert taken(kind, good) == good
    assert refusal(kind, wrong)


@pytest.mark.parametrize(
    ("url", "listen", "own"),
    [
        ("ws://127.0.0.1:8000/x", "127.0.0.1:8000", True),
        ("ws://localhost:8000/x", "127.0.0.1:8000", True),
        ("ws://127.0.0.1:8000/x", "0.0.0.0:8000", True),
        ("ws://me/x", "me:80", True),
        ("ws://127.0.0.1:8001/x", "127.0.0.1:8000", False),
        ("ws://other:8000/x", "0.0.0.0:8000", False),
        ("ws://127.0.0.1:8000/x", "127.0.0.1:0", False),
        ("nonsense", "127.0.0.1:8000", False),
        ("ws://h:x/", "nonsense", False),
    ],
)
def test_a_url_back_to_the_node_itself_is_known(url: str, listen: str, own: bool) -> None:
    assert fields.is_own_url(url, listen) is own
