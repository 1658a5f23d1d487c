"""`fame send` against a stub client: what is sent, what is said of it, and where it stays."""

import json
from pathlib import Path

import pytest
from fame_runner import Fame

from fame_cli.cli.options import Invocation
from fame_cli.cli.session import ClientSettings, Flags, client_settings
from fame_cli.core.message import OUT
from fame_cli.errors import ConnectError, DeadlineExceeded, FameError, LinkLost, NoRoute, PolicyDenied
from fame_cli.store.database import Database

MATH = "math2@fame.fabric"
AWAY = "away@fame.fabric"


def sent(fame: Fame, *words: str, stdin: str | None = None) -> object:
    """Send one message and return its payload, or the arguments of its operation."""
    result = fame("send", *words, stdin=stdin)
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    ((_, payload, _, _),) = fame.client.sent
    return payload


@pytest.fixture
def storage(fame: Fame, tmp_path: Path) -> Path:
    """Give the file of a client that sends durably."""
    tmp_path.chmod(0o700)
    path = tmp_path / "client.db"
    fame.env |= {"FAME_STORAGE_PATH": str(path), "FAME_DELIVERY_PROFILE": "at-least-once"}
    return path


@pytest.mark.parametrize(
    ("words", "payload"),
    [
        (['{"a": [1]}'], {"a": [1]}),
        (["7"], 7),
        (["null"], None),
        (["hello there"], "hello there"),
        (["E = mc²"], "E = mc²"),
        (["a=1", "b=x", "c:=[2]"], {"a": 1, "b": "x", "c": [2]}),
        (["--json", '{"a": 1}'], {"a": 1}),
        (["--json", '{"a": 1}', "b=2"], {"a": 1, "b": 2}),
    ],
)
def test_a_payload_is_json_a_text_or_members_of_an_object(fame: Fame, words: list[str], payload: object) -> None:
    assert sent(fame, MATH, *words) == payload
    assert fame.client.sent == [(MATH, payload, "", None)]


def test_a_payload_is_read_from_stdin_or_a_file(fame: Fame) -> None:
    Path("p.json").write_text('{"a": 1}')
    assert sent(fame, MATH, "@p.json") == {"a": 1}
    fame.client.sent.clear()
    assert sent(fame, MATH, "-", stdin="[1, 2]") == [1, 2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([MATH], "there is nothing to send; give JSON, a text, name=value, @FILE, or - for stdin"),
        ([MATH, "two", "words"], "\"two\" is one word of several; quote a text that has blanks: 'like this'"),
        ([MATH, "a=1", "b"], '"b" is one word of several'),
        ([MATH, "@none.json"], "@none.json: no such file or directory; for a text that starts with @ write '\"@…\"'"),
        ([MATH, "a=1", "a=2"], 'argument "a" is given twice'),
        (["math2", "7"], '"math2" is not an address; write NAME@DOMAIN, e.g. math1@fame.fabric'),
        ([MATH, "--operation", "add", "x"], '"x" is not an argument'),
    ],
)
def test_what_cannot_be_sent_is_refused(fame: Fame, words: list[str], said: str) -> None:
    result = fame("send", *words)
    assert (result.exit_code, result.stdout, fame.client.sent) == (2, "", [])
    assert said in result.stderr


def test_arguments_of_an_operation_are_typed_by_its_schema(fame: Fame) -> None:
    assert sent(fame, MATH, "--operation", "echo", "text=007") == {"text": "007"}
    assert fame.client.sent == [(MATH, {"text": "007"}, "echo", None)]


def test_who_is_away_cannot_be_asked_for_types(fame: Fame) -> None:
    fame.client.failure = None
    fame.client.addresses = ()

    async def away(address: str) -> dict[str, object]:
        raise NoRoute(f"nobody serves {address}")

    fame.client.describe = away  # type: ignore[method-assign]  # a stub for one test
    result = fame("send", AWAY, "--operation", "echo", "text=007", "value=7", "--durable")
    assert result.exit_code == 0
    assert result.stderr.startswith(f"fame: {AWAY} is away and can't be asked for types")
    assert fame.client.sent == [(AWAY, {"text": "007", "value": 7}, "echo", True)]


def test_what_becomes_of_it_is_told_as_json(fame: Fame) -> None:
    def told(*words: str) -> object:
        return json.loads(fame("send", MATH, "7", "-o", "json", *words).stdout)

    assert told() == {"id": None, "address": MATH, "state": "sent"}
    assert told("--durable") == {"id": "m1", "address": MATH, "state": "delivered"}
    fame.env["FAME_DELIVERY_PROFILE"] = "at-least-once"
    assert told() == {"id": "m1", "address": MATH, "state": "delivered"}
    assert told("--once") == {"id": None, "address": MATH, "state": "sent"}
    assert "m1 was acknowledged" in fame("send", MATH, "7", "-v").stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DeadlineExceeded("not delivered within 5 s: no acknowledgement yet", last=None), 6),
        (DeadlineExceeded("not delivered within 5 s: nobody serves it", last=NoRoute("nobody serves it")), 5),
        (DeadlineExceeded("not delivered within 5 s: lost", last=LinkLost("lost")), 6),
        (PolicyDenied("the policy denies it"), 4),
    ],
)
def test_what_nobody_takes_in_time_is_an_error_without_a_file(fame: Fame, error: FameError, code: int) -> None:
    fame.client.undelivered = error
    result = fame("send", MATH, "7", "--durable")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"fame: {error}\n")


def test_what_nobody_takes_in_time_stays_in_the_file(fame: Fame, storage: Path) -> None:
    fame.client.undelivered = DeadlineExceeded("not delivered within 5 s: x", last=NoRoute("nobody serves it"))
    result = fame("send", MATH, "7", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["state"]) == (0, "kept")
    assert result.stderr == (
        f"fame: m1 stays in {storage}, and goes out with the next `fame send` that uses it: nobody serves it\n"
    )


def test_a_refusal_for_good_is_an_error_with_a_file_too(fame: Fame, storage: Path) -> None:
    fame.client.undelivered = PolicyDenied("the policy denies it")
    result = fame("send", MATH, "7")
    assert result.exit_code == 4
    assert result.stderr == f"fame: m1 is a dead letter in {storage}\nfame: the policy denies it\n"


def test_what_still_waits_in_the_file_is_told(fame: Fame, storage: Path) -> None:
    fame.client.left = 3
    assert fame("send", MATH, "7").stderr == f"fame: 3 earlier messages still wait in {storage}\n"


def test_without_a_sentinel_it_is_put_into_the_file(fame: Fame, storage: Path) -> None:
    fame.client.refuses = ConnectError("no sentinel there")
    result = fame("send", AWAY, "--operation", "echo", "value=7", "-o", "json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["state"]) == (0, "kept")
    assert f"{told['id']} stays in {storage}" in result.stderr
    database = Database(storage)
    (message,) = database.read().messages
    database.close()
    assert (message.id, message.box, message.address, message.lane) == (told["id"], OUT, AWAY, "")
    request = json.loads(message.payload)
    assert (request["method"], request["params"]) == ("echo", {"kwargs": {"value": 7}})
    assert message.expires_at - message.stored_at == pytest.approx(604_800)


def test_without_a_sentinel_and_a_file_it_is_an_error(fame: Fame) -> None:
    fame.client.refuses = ConnectError("no sentinel there")
    assert fame("send", AWAY, "7", "--durable").exit_code == ConnectError.exit_code


def test_only_who_keeps_something_opens_a_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("kind: client\ndelivery: {max_attempts: 3}\nstorage: {path: c.db}\n")

    def told(**flags: bool) -> ClientSettings:
        return client_settings(Invocation(env={}), Flags(config=str(path), **flags))[0]

    assert told().storage is None  # a call keeps nothing, and must not wait for a file that somebody else has
    assert told(sends=True).storage is None
    assert told(sends=True, durable=True).storage == tmp_path / "c.db"
    assert told(sends=True).delivery.max_attempts == 3


def test_a_client_of_a_fabric_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        "kind: fabric\nname: f\nnodes:\n"
        "  - {kind: client, id: c1, timeout_s: 7}\n  - {kind: client, id: c2, storage: {path: c2.db}}\n"
    )
    flags = Flags(config=str(path), node="c2", sends=True, durable=True)
    settings = client_settings(Invocation(env={}), flags)[0]
    assert (settings.node_id, settings.storage) == ("c2", tmp_path / "c2.db")
