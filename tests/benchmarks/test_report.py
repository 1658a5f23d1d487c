"""What figures of several rounds are turned into: medians, ratios, bars, tables."""

import pytest
from report import BARS, Bar, Verdict, figure, judge, markdown, spread, summarise, text_table, verdict_lines

FAME = [{"calls_64": 900.0, "p50_1_us": 300.0}, {"calls_64": 1100.0, "p50_1_us": 280.0}, {"calls_64": 1000.0}]
NATS = [{"calls_64": 400.0, "p50_1_us": 250.0}]
SUMMARIES = {"fame": summarise(FAME), "nats": summarise(NATS), "grpc": summarise([])}


def test_a_measure_has_its_median_its_range_and_its_runs_in_their_order() -> None:
    assert summarise(FAME)["calls_64"] == {"median": 1000, "min": 900, "max": 1100, "runs": [900, 1100, 1000]}


def test_rounds_in_which_a_measure_failed_do_not_count_for_it() -> None:
    assert summarise(FAME)["p50_1_us"]["median"] == 290


def test_a_measure_that_always_failed_is_not_there() -> None:
    assert "small_items" not in summarise(FAME)
    assert summarise([]) == {}


def test_nothing_has_no_median() -> None:
    assert spread([]) == {"runs": []}


def test_bars_compare_medians() -> None:
    found = {(each.bar.measure, each.bar.against): each.ratio for each in judge(SUMMARIES)}

    assert found == {("calls_64", "nats"): 2.5, ("p50_1_us", "nats"): 1.16}


def test_a_bar_may_compare_two_measures_of_one_contender() -> None:
    summaries = {"fame": summarise([{"p50_half_us": 200.0, "p99_half_us": 500.0}])}

    assert [(each.bar.measure, each.ratio, each.is_met) for each in judge(summaries)] == [("p99_half_us", 2.5, True)]


def test_each_fame_chain_is_judged_and_nobody_else() -> None:
    summaries = {"fame": summarise(FAME), "fame-picows": summarise(FAME), "nats": summarise(NATS)}

    assert {each.contender for each in judge(summaries)} == {"fame", "fame-picows"}


@pytest.mark.parametrize(
    ("at_least", "ratio", "is_met"),
    [(True, 2.0, True), (True, 1.99, False), (False, 2.0, True), (False, 2.01, False)],
)
def test_a_bar_is_met_at_its_limit_and_on_its_right_side(at_least: bool, ratio: float, is_met: bool) -> None:
    assert Verdict("fame", Bar("x", "x", "nats", 2.0, at_least), ratio).is_met is is_met


def test_a_verdict_says_what_was_wanted_what_there_is_and_whether_that_is_enough() -> None:
    bar = next(each for each in BARS if each.against == "tcp" and not each.at_least)

    (line,) = verdict_lines([Verdict("fame", bar, 2.5)])

    assert line.split() == ["fame", "latency", "p50,", "1", "in", "flight", "≤", "2", "x", "tcp", "2.50", "x", "missed"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (1.5, "1.50"),
        (42.42, "42.4"),
        (99.96, "100"),
        (123.4, "123"),
        (54321.9, "54,322"),
        (float("nan"), "-"),
    ],
)
def test_figures_have_three_digits_or_all_before_the_point(value: float, text: str) -> None:
    assert figure(value) == text


def test_the_table_shows_ranges_below_medians_and_a_dash_for_what_is_not_there() -> None:
    rows = [line.split() for line in text_table(SUMMARIES)]

    assert rows[0] == ["fame", "nats", "grpc"]
    assert rows[1] == ["calls/s,", "64", "in", "flight", "1,000", "400", "-"]
    assert rows[2] == ["900-1,100"]
    assert len({len(line) for line in text_table(SUMMARIES)}) == 1


def test_the_markdown_table_has_the_range_in_brackets() -> None:
    assert markdown(SUMMARIES)[:3] == [
        "| | fame | nats | grpc |",
        "|---|---:|---:|---:|",
        "| calls/s, 64 in flight | 1,000 (900-1,100) | 400 | - |",
    ]
