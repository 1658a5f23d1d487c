"""`fame call` against a stub client: targets, coercion, results, messages and exit codes."""

from pathlib import Path

import pytest
from fame_runner import Fame

from fame_cli.errors import ConnectError, DeadlineExceeded, NoRoute, RemoteError

MATH2 = "math2@fame.fabric"


def test_the_result_is_all_there_is_on_stdout(fame: Fame) -> None:
    result = fame("call", MATH2, "add", "x=3", "y=4")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "7\n", "")


def test_typed_values_are_coerced_by_the_schema_of_the_operation(fame: Fame) -> None:
    assert fame("call", MATH2, "echo", "text=007").stdout == "007\n"
    assert fame.client.params == {"text": "007"}


def test_nothing_is_described_when_every_value_is_json(fame: Fame) -> None:
    fame("call", MATH2, "add", "x:=3", "--json", '{"y": 4}')
    assert fame.client.asked == [f"{MATH2} add"]


def test_an_agent_that_cannot_describe_itself_gets_json_where_it_parses_else_text(fame: Fame) -> None:
    fame.client.describes = False
    fame("call", MATH2, "echo", "value=3", "text=three", "more=[1]")
    assert fame.client.params == {"value": 3, "text": "three", "more": [1]}


def test_json_is_read_from_stdin(fame: Fame) -> None:
    assert fame("call", MATH2, "add", "--json", "-", stdin='{"x": 3, "y": 4}').stdout == "7\n"


def test_a_file_becomes_a_value(fame: Fame) -> None:
    Path("note.txt").write_text("hello")
    assert fame("call", MATH2, "echo", "text=@note.txt").stdout == "hello\n"


@pytest.mark.parametrize(
    ("form", "shown"),
    [("text", '{\n  "a": 1\n}\n'), ("json", '{\n  "a": 1\n}\n'), ("ndjson", '{"a": 1}\n')],
)
def test_the_format_decides_how_an_object_looks(fame: Fame, form: str, shown: str) -> None:
    assert fame("call", MATH2, "echo", 'value:={"a": 1}', "-o", form).stdout == shown


def test_without_a_target_the_only_provider_is_used_and_named(fame: Fame) -> None:
    result = fame("call", "add", "x=3", "y=4")
    assert (result.stdout, result.stderr) == ("7\n", f"fame: using {MATH2} for add\n")


def test_several_providers_are_listed_with_exit_code_2(fame: Fame) -> None:
    fame.client.addresses = (MATH2, "math1@fame.fabric", MATH2)
    result = fame("call", "add", "x=3", "y=4")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"fame: 2 agents offer add: math1@fame.fabric, {MATH2}; name one: fame call math1@fame.fabric add …\n"
    )


def test_no_provider_names_the_nearest_operation_with_exit_code_5(fame: Fame) -> None:
    result = fame("call", "ad", "x=3")
    assert (result.exit_code, result.stderr) == (5, 'fame: no agent offers "ad"; did you mean add?\n')


def test_no_provider_and_nothing_near_lists_what_there_is(fame: Fame) -> None:
    assert "there is: add, echo, fib_stream, forever, ticks" in fame("call", "zzz").stderr


def test_an_empty_fabric_says_how_to_start_an_agent(fame: Fame) -> None:
    fame.client.addresses = ()
    assert "no agent is attached; start one: fame agent --config" in fame("call", "add").stderr


MATHS = "fame.capability.math"


def test_a_capability_reaches_whoever_offers_it(fame: Fame) -> None:
    fame.client.addresses = ("math1@fame.fabric", MATH2)
    fame.client.capabilities = {MATHS: [MATH2]}
    result = fame("call", "--capability", MATHS, "add", "x=3", "y=4")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "7\n", "")
    assert fame.client.asked == ["attached fabric.lookup", f"{MATH2} describe", f"{MATH2} add"]


def test_several_capabilities_want_one_that_offers_all(fame: Fame) -> None:
    fame.client.addresses = ("math1@fame.fabric", MATH2)
    fame.client.capabilities = {MATHS: ["math1@fame.fabric", MATH2], "fast": [MATH2]}
    assert fame("call", "add", "x=3", "y=4", "--capability", MATHS, "--capability", "fast").stdout == "7\n"
    assert f"{MATH2} describe" in fame.client.asked


def test_a_capability_needs_no_lookup_where_every_value_is_json(fame: Fame) -> None:
    fame.client.capabilities = {MATHS: [MATH2]}
    fame("call", "--capability", MATHS, "add", "x:=3", "y:=4")
    assert fame.client.asked == [f"{MATH2} add"]


@pytest.mark.parametrize("value", ["x=3", "x:=3"])
def test_a_capability_nobody_offers_has_exit_code_5_at_once(fame: Fame, value: str) -> None:
    result = fame("call", "--capability", "a.b", "add", value)
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr.endswith("; see what there is: fame ls\n")


def test_an_address_and_a_capability_are_a_usage_error(fame: Fame) -> None:
    result = fame("call", "--capability", MATHS, MATH2, "add")
    assert result.exit_code == 2
    assert result.stderr == f"fame: {MATH2} and --capability both say whom to ask; leave one of them out\n"
    assert fame.client.settings is None


def test_a_provider_without_the_operation_is_told_as_one(fame: Fame) -> None:
    fame.client.capabilities = {MATHS: [MATH2]}
    result = fame("call", "--capability", MATHS, "ad", "x:=1")
    assert result.exit_code == 1
    assert result.stderr.startswith(f'fame: whoever offers {MATHS} has no operation "ad"; did you mean add?')


def test_a_provider_that_lists_nothing_with_its_error_is_not_guessed(fame: Fame) -> None:
    fame.client.capabilities = {MATHS: [MATH2]}
    fame.client.failure = RemoteError("Method not found", code=-32601)
    assert "and it doesn't say which ones it has" in fame("call", "--capability", MATHS, "add", "x:=1").stderr


def test_a_plain_sentinel_cannot_be_asked_for_a_schema_so_values_are_guessed(fame: Fame) -> None:
    fame.client.capabilities = {MATHS: [MATH2]}
    fame.client.is_plain = True
    fame("call", "--capability", MATHS, "echo", "value=3", "text=three")
    assert fame.client.params == {"value": 3, "text": "three"}


def test_the_session_goes_with_the_call(fame: Fame) -> None:
    fame("call", MATH2, "add", "x:=3", "y:=4", "--session", "ada")
    assert fame.client.session == "ada"
    fame("call", MATH2, "add", "x:=3", "y:=4")
    assert fame.client.session is None


def test_an_unknown_operation_lists_what_the_agent_offers(fame: Fame) -> None:
    result = fame("call", MATH2, "ad", "x:=3")
    assert result.exit_code == 1
    assert result.stderr == (
        f'fame: {MATH2} has no operation "ad"; did you mean add? there is: add, echo, fib_stream, forever, ticks\n'
    )


def test_an_agent_that_lists_nothing_with_its_error_is_asked(fame: Fame) -> None:
    fame.client.failure = RemoteError("Method not found", code=-32601)
    assert "there is: add, echo" in fame("call", MATH2, "add", "x:=1").stderr


def test_an_agent_that_cannot_be_asked_either_is_said_so(fame: Fame) -> None:
    fame.client.failure = RemoteError("Method not found", code=-32601)
    fame.client.describes = False
    assert "it doesn't say which ones it has" in fame("call", MATH2, "add", "x:=1").stderr


def test_a_wrong_value_is_refused_before_the_call(fame: Fame) -> None:
    result = fame("call", MATH2, "add", "x=three", "y=4")
    assert (result.exit_code, result.stderr) == (2, 'fame: x: "three" is not an integer\n')
    assert f"{MATH2} add" not in fame.client.asked


def test_an_argument_the_agent_refuses_is_named(fame: Fame) -> None:
    fame.client.failure = RemoteError("y is missing", code=-32602, data={"parameter": "y"})
    result = fame("call", MATH2, "add", "x=3")
    assert (result.exit_code, result.stderr) == (1, f"fame: {MATH2} add: wrong arguments: y is missing\n")


def test_a_handler_that_raises_is_one_line_with_exit_code_1(fame: Fame) -> None:
    fame.client.failure = RemoteError("division\nby zero")
    result = fame("call", MATH2, "add", "x=3")
    assert (result.exit_code, result.stderr) == (1, f"fame: {MATH2} add: division by zero\n")


def test_an_unknown_address_has_exit_code_5(fame: Fame) -> None:
    result = fame("call", "math9@fame.fabric", "add", "x:=3")
    assert result.exit_code == 5
    assert result.stderr == (
        "fame: nobody serves math9@fame.fabric; check the address; is its agent running and attached?\n"
    )


def test_a_hint_that_came_with_the_error_is_kept(fame: Fame) -> None:
    fame.client.failure = NoRoute("nobody", hint="wait a moment")
    assert fame("call", MATH2, "add").stderr == "fame: nobody; wait a moment\n"


def test_no_answer_in_time_has_exit_code_6(fame: Fame) -> None:
    fame.client.failure = DeadlineExceeded("no answer within 5 s")
    assert fame("call", MATH2, "add", "--timeout", "5").exit_code == 6


def test_no_sentinel_has_exit_code_7_and_says_what_to_do(fame: Fame) -> None:
    fame.client.refuses = ConnectError("no sentinel listens there", hint="start one: fame sentinel")
    result = fame("call", MATH2, "add")
    assert (result.exit_code, result.stderr) == (7, "fame: no sentinel listens there; start one: fame sentinel\n")


URL = "ws://127.0.0.1:1/fame/v1/attach/ws/downstream"


def attached_to(fame: Fame) -> str:
    assert fame.client.settings is not None
    return fame.client.settings.url


def test_the_url_comes_from_the_flag_before_anything_else(fame: Fame) -> None:
    fame.env = {"FAME_DIRECT_ADMISSION_URL": URL.replace(":1/", ":2/")}
    fame("call", MATH2, "add", "--url", URL)
    assert attached_to(fame) == URL


def test_the_url_comes_from_the_environment_before_the_file(fame: Fame) -> None:
    Path("client.yaml").write_text(f"kind: client\nupstream: {{direct_url: {URL.replace(':1/', ':3/')}}}\n")
    fame.env = {"FAME_DIRECT_ADMISSION_URL": URL}
    fame("call", MATH2, "add", "--config", "client.yaml")
    assert attached_to(fame) == URL


def test_the_url_comes_from_the_file_before_the_default(fame: Fame) -> None:
    Path("configs").mkdir()
    Path("configs/client.yaml").write_text(f"kind: client\nid: me\nupstream: {{direct_url: {URL}}}\n")
    fame("call", MATH2, "add", "--config", "client.yaml")
    assert attached_to(fame) == URL
    assert fame.client.settings is not None
    assert fame.client.settings.node_id == "me"


def test_the_default_url_is_the_first_sentinel_of_this_machine(fame: Fame) -> None:
    fame("call", MATH2, "add")
    assert attached_to(fame) == "ws://127.0.0.1:8000/fame/v1/attach/ws/downstream"


def test_a_bad_config_has_exit_code_3_and_its_place(fame: Fame) -> None:
    Path("client.yaml").write_text("kind: client\nupstreem: {}\n")
    result = fame("call", MATH2, "add", "--config", "client.yaml")
    assert result.exit_code == 3
    assert result.stderr.startswith("fame: client.yaml:2:")


def test_verbose_keeps_stdout_for_data(fame: Fame) -> None:
    result = fame("call", MATH2, "add", "x:=3", "y:=4", "--verbose")
    assert result.stdout == "7\n"
    assert "path   client → s1 → math2" in result.stderr
    assert "open-sesame" not in result.stderr


@pytest.mark.parametrize(("flags", "env"), [(["-vv"], {}), ([], {"FAME_SHOW_ENVELOPES": "true"})])
def test_whole_envelopes_are_shown_on_stderr_without_secrets(fame: Fame, flags: list[str], env: dict[str, str]) -> None:
    fame.env = env
    result = fame("call", MATH2, "add", "x:=3", "y:=4", *flags)
    assert result.stdout == "7\n"
    assert '"result": 7' in result.stderr
    assert "open-sesame" not in result.stderr


@pytest.mark.parametrize("value", ["", "1", "True", "false"])
def test_show_envelopes_wants_exactly_true(fame: Fame, value: str) -> None:
    fame.env = {"FAME_SHOW_ENVELOPES": value}
    assert fame("call", MATH2, "add", "x:=3", "y:=4").stderr == ""


def test_the_variables_of_the_wire_act_without_a_file(fame: Fame) -> None:
    fame.env = {"FAME_TRANSPORT": "websockets", "FAME_BATCH": "false"}
    assert fame("call", MATH2, "add", "x:=3", "y:=4").stdout == "7\n"
    assert fame.client.settings is not None
    assert (fame.client.settings.transport, fame.client.settings.batch) == ("websockets", False)


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        ([], "", "never"),
        (["--retry"], "", "idempotent"),
        ([], "retry: idempotent\n", "idempotent"),
        (["--retry"], "retry: never\n", "idempotent"),
    ],
)
def test_a_call_is_made_again_only_where_flag_or_file_say_so(
    fame: Fame, words: list[str], text: str, expected: str
) -> None:
    if text:
        Path("client.yaml").write_text(f"kind: client\n{text}")
        words = [*words, "--config", "client.yaml"]
    assert fame("call", MATH2, "add", "x=3", "y=4", *words).exit_code == 0
    assert fame.client.settings is not None
    assert fame.client.settings.retry == expected
