"""Log lines: for people on a terminal, for programs elsewhere, and nothing below the level."""

import io
import json
import logging

import pytest

from fame_cli.node.log import LEVELS, log_event, set_up_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(form: str, stream: io.StringIO | None = None, level: str = "info") -> list[str]:
    """Log a few events and return what was written."""
    written = stream or io.StringIO()
    set_up_logging(level, form, written)
    log_event("link_attached", node="s1", link=3, kind="child")
    log_event("link_failed", "warning", url="ws://a", reason="no sentinel listens on a", path="", hint=None, tags=[])
    log_event("envelope_refused", "debug", code="NO_ROUTE")
    return written.getvalue().splitlines()


def test_people_get_time_level_event_and_facts() -> None:
    first, second = lines("text")
    assert first[12:] == " info    link_attached          node=s1 link=3 kind=child"
    assert first[2] == first[5] == ":"
    assert second[12:] == " warning link_failed            url=ws://a reason='no sentinel listens on a'"


def test_programs_get_json() -> None:
    first, second = (json.loads(line) for line in lines("json"))
    assert first.pop("ts").endswith("+00:00")
    assert first == {"level": "info", "event": "link_attached", "node": "s1", "link": 3, "kind": "child"}
    assert (second["level"], second["path"], second["hint"], second["tags"]) == ("warning", "", None, [])


def test_a_terminal_gets_text_and_everything_else_json() -> None:
    assert lines("auto", Terminal())[0][12:17] == " info"
    assert json.loads(lines("auto")[0])["event"] == "link_attached"
    assert json.loads(lines("json", Terminal())[0])["event"] == "link_attached"


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_what_is_below_the_level_is_not_written(level: str, count: int) -> None:
    assert len(lines("text", level=level)) == count
    assert level in LEVELS


def test_lists_are_joined_and_odd_values_are_written_as_text() -> None:
    written = io.StringIO()
    set_up_logging("info", "text", written)
    log_event("known", names=["a", 1], zero=0, off=False, odd=ValueError("x y"))
    assert written.getvalue().rstrip().endswith("names=a,1 zero=0 off=False odd='x y'")
    set_up_logging("info", "json", written)
    log_event("known", odd=ValueError("x y"))
    assert json.loads(written.getvalue().splitlines()[-1])["odd"] == "x y"


@pytest.mark.parametrize("said", ["a\nb", "\x1b[2J", "a\r", "\u2028"])
def test_no_fact_can_end_its_line_or_drive_a_terminal(said: str) -> None:
    written = io.StringIO()
    set_up_logging("info", "text", written)
    log_event("told", reason=said, names=[said])
    (line,) = written.getvalue().splitlines()
    assert line.isprintable()


def test_setting_up_again_replaces_what_was() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up_logging("info", "json", first)
    set_up_logging("info", "json", second)
    log_event("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_lines_go_to_stderr_and_not_further(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    set_up_logging("info", "json")
    log_event("here")
    captured = capsys.readouterr()
    assert json.loads(captured.err)["event"] == "here"
    assert captured.out == ""
    assert caplog.records == []


def test_an_exception_is_written_after_its_event() -> None:
    written = io.StringIO()
    set_up_logging("info", "text", written)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("fame").exception("failed")
    assert "error   failed" in written.getvalue()
    assert written.getvalue().rstrip().endswith("ValueError: broken")


def test_processes_that_share_a_place_are_told_apart() -> None:
    written = io.StringIO()
    set_up_logging("info", "json", written, worker=2)
    log_event("link_closed", link=1)
    assert json.loads(written.getvalue())["worker"] == 2
