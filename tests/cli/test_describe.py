"""`fame describe`: an agent in words and signatures, a sentinel by its id, and those that can't describe themselves."""

import json

import pytest
from fame_runner import Fame
from stub_fabric import SCHEMAS

from fame_cli.errors import DeadlineExceeded, NoRoute, RemoteError

MATH2 = "math2@fame.fabric"
DESCRIPTION = {
    "description": "Do sums.\n\nAnd more.",
    "operations": [
        {"name": "add", "description": "Add two numbers.", "streaming": False, "schema": SCHEMAS["add"]},
        {
            "name": "fib_stream",
            "description": "",
            "streaming": True,
            "schema": {"properties": {"n": {"type": "integer", "default": 10, "description": "how\n many"}}},
        },
    ],
    "capabilities": ["fame.capability.math", "other"],
}


def test_an_agent_is_described_in_words_and_signatures(fame: Fame) -> None:
    fame.client.description = DESCRIPTION
    result = fame("describe", MATH2)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "math2@fame.fabric\n"
        "  Do sums.\n"
        "\n"
        "  And more.\n"
        "\n"
        "add(x: integer, y: integer) -> one answer\n"
        "  Add two numbers.\n"
        "\n"
        "fib_stream(n: integer = 10) -> stream\n"
        "  n: how many\n"
        "\n"
        "capabilities: fame.capability.math, other\n"
    )


def test_an_agent_without_operations_says_so(fame: Fame) -> None:
    fame.client.description = {}
    assert fame("describe", MATH2).stdout == "math2@fame.fabric\n\nno operations\n"


def test_tasks_are_shown_after_the_operations(fame: Fame) -> None:
    fame.client.description = {"tasks": [{"name": "sort", "description": "Sort.", "streaming": True}]}
    assert fame("describe", MATH2).stdout == "math2@fame.fabric\n\nsort() -> task\n  Sort.\n"


def test_json_is_the_whole_answer(fame: Fame) -> None:
    fame.client.description = DESCRIPTION | {"more": 1}
    assert json.loads(fame("describe", MATH2, "-o", "json").stdout) == DESCRIPTION | {"more": 1}


def test_a_sentinel_is_found_by_its_id(fame: Fame) -> None:
    assert fame("describe", "s3").stdout.startswith("__sys__@/s3\n")
    assert fame.client.asked == ["attached fabric.graph", "__sys__@/s3 describe"]


def test_an_unknown_sentinel_gets_the_nearest_names_and_exit_code_5(fame: Fame) -> None:
    result = fame("describe", "s33")
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr == (
        'fame: no sentinel is called "s33"; did you mean s3? (an agent\'s address has an @, e.g. math1@fame.fabric)\n'
    )


def test_an_unknown_sentinel_like_no_other_gets_all_names(fame: Fame) -> None:
    assert 'no sentinel is called "math1"; there is: s1, s2, s3, s9 (an agent' in fame("describe", "math1").stderr


@pytest.mark.parametrize("word", ["math1@", "@x", "a b@x", "math1@fame fabric", "a/b", "", ".."])
def test_what_is_no_place_is_a_usage_error_before_anything_is_attached(fame: Fame, word: str) -> None:
    result = fame("describe", word)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert fame.client.settings is None


def test_an_agent_of_another_make_is_one_clear_line(fame: Fame) -> None:
    fame.client.describes = False
    result = fame("describe", MATH2)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "fame: math2@fame.fabric can't describe itself; it is of another make; "
        "call what you know of it: fame call math2@fame.fabric OPERATION\n"
    )


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (RemoteError("busy", code=-32029), 1, "fame: x@y.z agent.describe: busy\n"),
        (NoRoute("nobody serves x@y.z"), 5, "fame: nobody serves x@y.z; see what there is: fame ls\n"),
        (NoRoute("nobody", hint="wait"), 5, "fame: nobody; wait\n"),
        (DeadlineExceeded("no answer"), 6, "fame: no answer\n"),
    ],
)
def test_each_failure_is_one_line_with_its_exit_code(fame: Fame, failure: Exception, code: int, said: str) -> None:
    fame.client.failure = failure
    result = fame("describe", "x@y.z")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", said)


@pytest.mark.parametrize("odd", [{"operations": 7}, {"operations": [{}]}, {"description": []}])
def test_a_description_of_another_shape_is_one_line(fame: Fame, odd: dict[str, object]) -> None:
    fame.client.description = odd
    result = fame("describe", MATH2)
    assert result.exit_code == 1
    assert result.stderr.startswith("fame: math2@fame.fabric described itself with something else: ")


def test_what_an_agent_says_cannot_move_the_cursor(fame: Fame) -> None:
    fame.client.description = {"description": "\x1b[2J", "operations": [{"name": "\x1b", "description": "\x07"}]}
    assert not {"\x1b", "\x07"} & set(fame("describe", MATH2).stdout)
