"""`fame ls`: what there is, as a table and as JSON, and what asking a sentinel can meet."""

import json

import pytest
from fame_runner import Fame

from fame_cli.errors import DeadlineExceeded, NoRoute, RemoteError

TITLES = "ADDRESS            OPERATIONS       CAPABILITIES          WHERE  HOPS\n"
MATH1 = "math1@fame.fabric  add, multiply    -                     s1     0\n"
MATH2 = "math2@fame.fabric  add, fib_stream  fame.capability.math  s2     1\n"


def test_all_names_are_listed_with_where_and_how_far_they_are(fame: Fame) -> None:
    result = fame("ls")
    assert (result.exit_code, result.stdout, result.stderr) == (0, TITLES + MATH1 + MATH2, "")
    assert fame.client.asked == ["attached fabric.names"]


def test_an_address_that_two_sentinels_offer_has_two_lines_the_nearer_first(fame: Fame) -> None:
    fame.client.answers["fabric.names"] = [
        {"address": "a@x.y", "node": "far", "hops": 3},
        {"address": "a@x.y", "node": "near", "hops": 1},
    ]
    assert [line.split()[3] for line in fame("ls").stdout.splitlines()[1:]] == ["near", "far"]


@pytest.mark.parametrize(
    ("pattern", "lines"),
    [
        ("math", MATH1 + MATH2),
        ("fib", MATH2),
        ("capability.math", MATH2),
        ("add", MATH1 + MATH2),
        ("math1*", MATH1),
        ("fib_strea?", MATH2),
        ("ath*", ""),
        ("MATH1", ""),
    ],
)
def test_a_pattern_fits_addresses_operations_and_capabilities(fame: Fame, pattern: str, lines: str) -> None:
    rows = fame("ls", pattern).stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [line.split()[0] for line in lines.splitlines()]


def test_a_pattern_that_fits_nothing_is_said_so_and_no_error(fame: Fame) -> None:
    result = fame("ls", "zzz")
    assert result.exit_code == 0
    assert result.stderr == 'fame: nothing fits "zzz"; all there is: fame ls\n'


def test_an_empty_fabric_says_how_to_start_an_agent(fame: Fame) -> None:
    fame.client.answers["fabric.names"] = []
    result = fame("ls")
    assert (result.exit_code, result.stdout) == (0, "ADDRESS  OPERATIONS  CAPABILITIES  WHERE  HOPS\n")
    assert result.stderr == "fame: no agent is attached; start one: fame agent --config math1.yaml\n"


def test_json_is_one_document_of_what_fits(fame: Fame) -> None:
    (row,) = json.loads(fame("ls", "math1", "-o", "json").stdout)
    assert row == {
        "address": "math1@fame.fabric", "operations": ["add", "multiply"], "capabilities": [], "node": "s1",
        "hops": 0, "next_hop": "math-agent1",
    }  # fmt: skip


def test_ndjson_is_a_line_for_each(fame: Fame) -> None:
    rows = [json.loads(line) for line in fame("ls", "-o", "ndjson").stdout.splitlines()]
    assert [row["address"] for row in rows] == ["math1@fame.fabric", "math2@fame.fabric"]


def test_what_a_remote_node_is_called_cannot_move_the_cursor(fame: Fame) -> None:
    fame.client.answers["fabric.names"] = [{"address": "a@x", "node": "\x1b[2J"}]
    assert "\x1b" not in fame("ls").stdout


# What asking a sentinel can meet


def test_a_plain_sentinel_cannot_be_asked(fame: Fame) -> None:
    fame.client.is_plain = True
    result = fame("ls")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "fame: this sentinel can't be asked what it knows; name the agent's address\n"


def test_a_sentinel_that_does_not_know_the_question_is_of_another_version(fame: Fame) -> None:
    del fame.client.answers["fabric.names"]
    result = fame("ls")
    assert result.exit_code == 1
    assert result.stderr == "fame: the sentinel can't answer fabric.names; it runs another version of fame\n"


def test_an_error_of_the_sentinel_is_one_line(fame: Fame) -> None:
    fame.client.answers["fabric.names"] = RemoteError("busy: 64 calls run", code=-32029)
    result = fame("ls")
    assert (result.exit_code, result.stderr) == (1, "fame: the sentinel: fabric.names: busy: 64 calls run\n")


@pytest.mark.parametrize("odd", [None, {}, 7, [7], [{}], [{"address": 7}], [{"address": "a@x", "hops": "far"}]])
def test_an_answer_of_another_shape_is_one_line(fame: Fame, odd: object) -> None:
    fame.client.answers["fabric.names"] = odd
    result = fame("ls")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("fame: the sentinel answered fabric.names with something else: ")


@pytest.mark.parametrize(("failure", "code"), [(NoRoute("nobody"), 5), (DeadlineExceeded("no answer within 5 s"), 6)])
def test_a_sentinel_that_cannot_be_reached_has_its_exit_code(fame: Fame, failure: Exception, code: int) -> None:
    fame.client.answers["fabric.names"] = failure
    assert fame("ls").exit_code == code
