"""Tables: aligned columns, what stands in a cell, and the same rows as JSON."""

import pytest

from fame_cli.cli import tables
from fame_cli.cli.output import OutputFormat


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() -> None:
    assert tables.lines_of(("A", "B"), [("long", "x"), ("s", "")]) == ["A     B", "long  x", "s     -"]


def test_a_table_without_rows_has_its_titles() -> None:
    assert tables.lines_of(("A", "B"), []) == ["A  B"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"), ("", "-"), ([], "-"), (0, "0"), (True, "yes"), (False, "no"), (["a", "b"], "a, b"), ("a b", "a b"),
        ("\x1b[2J\n", "\\x1b[2J\\n"),
    ],
)  # fmt: skip
def test_a_cell_shows_each_value_on_one_line(value: object, shown: str) -> None:
    assert tables.cell(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0s"), (0.4, "0s"), (59.6, "1m00s"), (187, "3m07s"), (7500, "2h05m"), (360000, "100h00m")],
)
def test_a_duration_has_two_units(seconds: float, shown: str) -> None:
    assert tables.duration(seconds) == shown


def test_a_time_that_nobody_knows_is_nothing() -> None:
    assert (tables.milliseconds(1234), tables.milliseconds(0), tables.milliseconds(None)) == (
        "1.234 ms",
        "0.000 ms",
        "",
    )


@pytest.mark.parametrize(
    ("form", "shown"),
    [("text", "A\nx\ny\n"), ("json", '[\n  {\n    "a": "x"\n  },\n  "y"\n]\n'), ("ndjson", '{"a": "x"}\n"y"\n')],
)
def test_a_list_is_shown_in_each_format(form: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(("A",), [("x",), ("y",)], [{"a": "x"}, "y"], OutputFormat(form))
    assert capsys.readouterr().out == shown


def test_bars_are_as_long_as_their_counts_and_none_is_lost() -> None:
    drawn = ["".join(text for text, _ in line) for line in tables.bars([("1 ms", 4), ("10 ms", 1), ("x", 0)], 4)]
    assert drawn == [" 1 ms  ████  4   80.00 %", "10 ms  █     1   20.00 %", "    x        0    0.00 %"]
    assert tables.bars([("many", 10_000), ("one", 1)], 4)[1][1][0] == "▏   "


def test_bars_without_a_count_are_empty() -> None:
    assert tables.bars([("a", 0)], 2) == [[("a  ", ""), ("  ", "cyan"), ("  0", ""), ("  ", "dim")]]
    assert tables.bars([], 2) == []
