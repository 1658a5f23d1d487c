"""Rendering results, and keeping stdout for data and stderr for people."""

import json
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper

import pytest

from fame_cli.cli import output
from fame_cli.cli.output import OutputFormat


@pytest.mark.parametrize(
    ("value", "text"),
    [("plain", "plain"), (7, "7"), (1.5, "1.5"), (True, "true"), (None, "null"), ("é\tb", "é\tb")],
)
def test_text_shows_strings_bare_and_scalars_plainly(value: object, text: str) -> None:
    assert output.render(value, OutputFormat.text) == text


def test_text_shows_objects_as_json() -> None:
    assert output.render({"ü": [1]}, OutputFormat.text) == '{\n  "ü": [\n    1\n  ]\n}'


def test_json_quotes_strings() -> None:
    assert output.render("plain", OutputFormat.json) == '"plain"'


def test_ndjson_is_one_line_whatever_it_holds() -> None:
    assert output.render({"a": "two\nlines"}, OutputFormat.ndjson) == '{"a": "two\\nlines"}'


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (OutputFormat.text, '{"a": 1}\nb\n'),
        (OutputFormat.ndjson, '{"a": 1}\n"b"\n'),
        (OutputFormat.json, '[\n  {"a": 1},\n  "b"\n]\n'),
    ],
)
def test_items_are_one_a_line_in_every_format(
    form: OutputFormat, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, value in enumerate([{"a": 1}, "b"]):
        output.item(value, form, index=index)
    output.end_items(form, count=2)
    assert capsys.readouterr() == (text, "")


def test_an_empty_stream_is_an_empty_array_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.end_items(OutputFormat.json, count=0)
    assert capsys.readouterr().out == "[]\n"


def test_words_for_people_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.note("using a@b")
    output.error("no sentinel")
    output.diagnostic([("path ", "bold"), ("client → s1", "")])
    assert capsys.readouterr() == ("", "fame: using a@b\nfame: no sentinel\npath client → s1\n")


def test_control_characters_from_a_remote_message_are_shown_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    output.error("\x1b[2Jgone\nfame: forged")
    assert capsys.readouterr().err == "fame: \\x1b[2Jgone\\nfame: forged\n"


def test_a_lone_surrogate_does_not_stop_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    output.result("a\ud800b", OutputFormat.json)
    assert capsys.readouterr().out == '"a\\ud800b"\n'


def test_styled_data_is_plain_and_harmless_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.styled([("bar", "cyan"), (" \x1b[2J", "")])
    assert capsys.readouterr() == ("bar \\x1b[2J\n", "")


def ascii_stream(monkeypatch: pytest.MonkeyPatch, name: str) -> Callable[[], str]:
    """Put a stream that carries no more than ASCII in place of one; return what reads it."""
    stream = TextIOWrapper(BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, name, stream)
    return lambda: stream.buffer.getvalue().decode() if isinstance(stream.buffer, BytesIO) else ""


def test_signs_we_draw_with_have_others_where_a_stream_can_not_carry_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = ascii_stream(monkeypatch, "stdout")
    output.styled([("██▌ ", "cyan"), ("a → b …, é", "")])
    assert shown() == "### a > b ..., \\xe9\n"


def test_words_for_people_are_written_so_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = ascii_stream(monkeypatch, "stderr")
    output.error("say a → b")
    assert shown() == "fame: say a > b\n"


def test_data_keeps_what_it_is_where_a_stream_can_not_carry_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = ascii_stream(monkeypatch, "stdout")
    output.result("a → b", OutputFormat.json)
    assert json.loads(shown()) == "a → b"


def test_without_a_terminal_there_is_no_live_line(capsys: pytest.CaptureFixture[str]) -> None:
    with output.live_line() as say:
        assert say is None
    assert capsys.readouterr() == ("", "")
