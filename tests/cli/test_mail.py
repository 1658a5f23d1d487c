"""`fame mail` on a store: what is listed, shown, put back and removed, and what is refused."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fame_runner import Fame

from fame_cli.core.custody import WEEK_S
from fame_cli.core.message import DEAD, IN, OUT, TASK, Message
from fame_cli.errors import ConfigError, FameError, NoRoute, UsageError
from fame_cli.store.database import Database
from fame_cli.store.medium import Put

LETTERS = [
    Message(id="aa1", box=OUT, address="math1@fame.fabric", payload=b'{"n":1}', lane="l", seq=4),
    Message(id="aa2", box=DEAD, address="math2@fame.fabric", payload=b'{"n":[2,3]}', lane="l", seq=3, origin=OUT,
            attempts=9, reason="too old", sender="/s/c", expires_at=5.0),
    Message(id="bb1", box=DEAD, address="math1@fame.fabric", payload=b"\xff\x1b", lane="m", seq=2, origin=IN,
            attempts=5, reason="ValueError"),
    Message(id="cc1", box=IN, address="away@fame.fabric", payload=b"1", mailbox=True),
    Message(id="cc1", box=DEAD, address="away@fame.fabric", payload=b"1", mailbox=True, origin=IN, reason="too old"),
]  # fmt: skip


@pytest.fixture
def store(fame: Fame, tmp_path: Path) -> Path:
    """Give a store with messages of all kinds, named by the variable."""
    path = tmp_path / "fame.db"
    database = Database(path)
    database.apply([Put(each) for each in LETTERS])
    database.close()
    fame.env["FAME_STORAGE_PATH"] = str(path)
    return path


def kept(path: Path) -> list[Message]:
    database = Database(path)
    found = database.read().messages
    database.close()
    return found


def listed(fame: Fame, *words: str) -> list[tuple[str, str]]:
    result = fame("mail", "ls", "-o", "json", *words)
    assert result.exit_code == 0, result.stderr
    return [(each["id"], each["box"]) for each in json.loads(result.stdout)]


def test_messages_are_listed_as_they_were_stored(fame: Fame, store: Path) -> None:
    result = fame("mail", "ls")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["ID", "BOX", "ADDRESS", "FROM", "AGE", "TRIES", "BYTES", "REASON"]
    assert [line[:3] for line in lines[1:]] == [
        ["aa1", "out", "math1@fame.fabric"],
        ["aa2", "dead", "math2@fame.fabric"],
        ["bb1", "dead", "math1@fame.fabric"],
        ["cc1", "mailbox", "away@fame.fabric"],
        ["cc1", "dead", "away@fame.fabric"],
    ]
    assert lines[2][-4:] == ["9", "11", "too", "old"]


def test_a_list_is_narrowed_by_box_and_address(fame: Fame, store: Path) -> None:
    assert listed(fame, "--box", "dead", "--address", "math*") == [("aa2", DEAD), ("bb1", DEAD)]
    assert listed(fame, "--box", "mailbox") == [("cc1", IN)]
    assert listed(fame, "--box", "in") == []
    assert listed(fame, "--address", "math1@fame.fabric") == [("aa1", OUT), ("bb1", DEAD)]
    assert listed(fame, "--address", "math1") == []


def test_a_long_list_is_cut_and_says_so(fame: Fame, store: Path) -> None:
    result = fame("mail", "ls", "-n", "2")
    assert len(result.stdout.splitlines()) == 3
    assert result.stderr == "fame: 2 of 5 messages; all of them: --limit 0\n"
    assert len(fame("mail", "ls", "-n", "0").stdout.splitlines()) == 6


def test_nothing_to_list_is_said(fame: Fame, store: Path) -> None:
    result = fame("mail", "ls", "--address", "x@y")
    assert (result.exit_code, result.stderr) == (0, f"fame: no such messages in {store}\n")
    assert fame("mail", "drop", "--all", "--address", "x@y").stderr == "fame: no such messages: nothing has changed\n"


def test_a_list_has_no_payloads(fame: Fame, store: Path) -> None:
    assert "payload" not in json.loads(fame("mail", "ls", "-o", "json").stdout)[0]


def test_a_message_is_shown_with_its_payload(fame: Fame, store: Path) -> None:
    result = fame("mail", "show", "aa2")
    assert result.exit_code == 0
    facts, _, payload = result.stdout.partition("\n\n")
    assert json.loads(payload) == {"n": [2, 3]}
    assert dict(line.split(maxsplit=1) for line in facts.splitlines())["reason"] == "too old"
    assert "1970-01-01 00:00:05Z" in facts
    document = json.loads(fame("mail", "show", "aa2", "-o", "json").stdout)
    assert (document["payload"], document["bytes"], document["origin"]) == ({"n": [2, 3]}, 11, OUT)


def test_a_payload_that_is_no_json_can_not_move_the_cursor(fame: Fame, store: Path) -> None:
    result = fame("mail", "show", "bb")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert json.loads(fame("mail", "show", "bb", "-o", "json").stdout)["payload"] == "\\xff\x1b"


def test_an_id_may_be_cut_short_as_long_as_it_means_one(fame: Fame, store: Path) -> None:
    assert fame("mail", "show", "bb").exit_code == 0
    result = fame("mail", "show", "aa")
    assert result.exit_code == UsageError.exit_code
    assert result.stderr == 'fame: "aa" means several messages: "aa1", "aa2"; write more of it\n'
    result = fame("mail", "show", "cc1")
    assert result.exit_code == UsageError.exit_code
    assert result.stderr == 'fame: "cc1" is in several boxes; say which: --box mailbox or dead\n'
    assert fame("mail", "show", "cc1", "--box", "dead").exit_code == 0


def test_an_id_nobody_has_is_told(fame: Fame, store: Path) -> None:
    for words in (["show", "zz"], ["retry", "zz"], ["drop", "aa1", "zz"], ["show", ""]):
        result = fame("mail", *words)
        assert result.exit_code == FameError.exit_code
        assert "see which there are: fame mail ls" in result.stderr
    assert kept(store) == LETTERS


def test_a_dead_letter_is_put_back_where_it_was_given_up(fame: Fame, store: Path) -> None:
    before = time.time()
    result = fame("mail", "retry", "aa2", "bb1")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "fame: 2 messages wait again, and are tried when the node runs\n"
    found = {each.id: each for each in kept(store) if each.id in ("aa2", "bb1")}
    sent, received = found["aa2"], found["bb1"]
    assert (sent.box, sent.origin, sent.attempts, sent.reason) == (OUT, "", 0, "")
    assert (sent.lane, sent.seq) == ("", 0)  # its place in the lane has been passed: there it would be taken for known
    assert before + WEEK_S <= sent.expires_at <= time.time() + WEEK_S
    assert (received.box, received.lane, received.seq, received.expires_at) == (IN, "m", 2, 0.0)


def test_only_dead_letters_are_retried(fame: Fame, store: Path) -> None:
    assert fame("mail", "retry", "aa1").stderr.startswith('fame: no message "aa1" in dead')
    assert fame("mail", "retry", "--all").exit_code == 0
    assert [each.box for each in kept(store)] == [OUT, IN, OUT, IN]
    assert len(listed(fame, "--box", "mailbox")) == 1  # the dead one took the place of its namesake


def test_messages_are_removed_by_id_or_all_that_fit(fame: Fame, store: Path) -> None:
    assert fame("mail", "drop", "aa1", "aa1").stderr == "fame: aa1 is gone\n"
    assert fame("mail", "drop", "--all", "--address", "math*").stderr == "fame: 2 messages are gone\n"
    assert listed(fame) == [("cc1", IN), ("cc1", DEAD)]
    assert fame("mail", "drop", "--all").stderr == "fame: cc1 is gone\n"
    assert fame("mail", "drop", "--all", "--box", "mailbox").stderr == "fame: cc1 is gone\n"
    assert kept(store) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["retry"], "which messages?; give ids, or --all for all dead letters"),
        (["drop", "--box", "out"], "which messages?; add --all for all that fit"),
        (["drop", "aa1", "--all"], "ids and --all or --address both say which messages; leave one of them out"),
        (
            ["ls", "--storage", "x", "--config", "y"],
            "--storage and --config both say which store; leave one of them out",
        ),
        (["ls", "--storage", "x", "--at", "s1"], "--storage and --at both say whose messages; leave one of them out"),
        (["ls", "--box", "zz"], "try: fame mail --help"),
    ],
)
def test_a_command_line_that_does_not_say_enough_is_refused(
    fame: Fame, store: Path, words: list[str], said: str
) -> None:
    result = fame("mail", *words)
    assert (result.exit_code, result.stdout) == (UsageError.exit_code, "")
    assert said in result.stderr
    assert kept(store) == LETTERS


def test_a_store_that_is_named_must_be_there(fame: Fame, tmp_path: Path) -> None:
    result = fame("mail", "ls", "--storage", "none.db")
    assert result.exit_code == ConfigError.exit_code
    assert result.stderr == "fame: none.db: no such file; the node makes it when it first starts\n"
    assert not (tmp_path / "none.db").exists()


def test_a_store_is_found_by_the_config_of_its_node(fame: Fame, store: Path, tmp_path: Path) -> None:
    del fame.env["FAME_STORAGE_PATH"]
    node = "kind: agent\nid: a1\nagent: {address: a@b, operations: {x: {template: y}}}\n"
    (tmp_path / "a.yaml").write_text(f"{node}storage: {{path: fame.db}}\n")
    (tmp_path / "none.yaml").write_text(node)
    entry = "\n".join(f"    {line}" for line in f"{node}storage: {{path: fame.db}}".splitlines())
    (tmp_path / "all.yaml").write_text(f"kind: fabric\nname: f\nnodes:\n  -\n{entry}\n")
    assert len(listed(fame, "--config", "a.yaml")) == 5
    assert len(listed(fame, "--config", "all.yaml", "--node", "a1")) == 5
    result = fame("mail", "ls", "--config", "none.yaml")
    assert result.exit_code == ConfigError.exit_code
    assert result.stderr.startswith("fame: none.yaml: this node keeps no file; set storage.path there")
    assert fame("mail", "ls", "--config", "all.yaml").exit_code != 0


def test_a_store_that_a_node_holds_is_left_alone(fame: Fame, store: Path) -> None:
    node = Database(store)
    result = fame("mail", "drop", "--all")
    node.close()
    assert result.exit_code == ConfigError.exit_code
    assert result.stderr == (
        f"fame: {store}: another process uses it; if that is its node, ask it over the fabric: "
        "fame mail ls --at, with its address or id\n"
    )
    assert kept(store) == LETTERS


def test_the_config_of_a_node_that_runs_names_the_way_to_ask_it(fame: Fame, store: Path, tmp_path: Path) -> None:
    agent = "kind: agent\nid: a1\nagent: {address: a@b, operations: {x: {template: y}}}\n"
    for name, text in {"a": agent, "s": "kind: sentinel\nid: s1\n"}.items():
        (tmp_path / f"{name}.yaml").write_text(f"{text}storage: {{path: fame.db}}\n")
    node = Database(store)
    told = [fame("mail", "ls", "--config", f"{name}.yaml").stderr for name in "as"]
    node.close()
    assert told[0].endswith("ask it over the fabric: fame mail ls --at a@b\n")
    assert told[1].endswith("ask it over the fabric: fame mail ls --at s1\n")


def test_what_is_no_store_is_told(fame: Fame, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch(0o600)
    path.write_text("no store at all" * 100)
    result = fame("mail", "ls", "--storage", str(path))
    assert result.exit_code == ConfigError.exit_code
    assert result.stderr.startswith(f"fame: {path}: damaged: ")


def test_tasks_in_the_same_file_are_no_messages(fame: Fame, store: Path) -> None:
    task = Message(id="math1@fame.fabric/t1", box=TASK, address="math1@fame.fabric", payload=b"{}")
    database = Database(store)
    database.apply([Put(task)])
    database.close()
    assert len(listed(fame)) == len(LETTERS)
    assert fame("mail", "drop", "--all").exit_code == 0
    assert fame("mail", "drop", task.id).exit_code == 1
    assert task in kept(store)


# A node that runs


ROWS = [
    {"id": "aa1", "box": OUT, "address": "math1@fame.fabric", "bytes": 7, "age_s": 65.0, "mailbox": True},
    {"id": "aa2", "box": DEAD, "address": "math1@fame.fabric", "origin": IN, "attempts": 5, "reason": "ValueError"},
    {"id": "ab3", "box": DEAD, "address": "math2@fame.fabric", "origin": OUT, "reason": "too old"},
]


@pytest.fixture
def desk(fame: Fame) -> list[tuple[str, object]]:
    """Have the stub be a node that keeps `ROWS`; gives what it is asked, and at which path."""
    asked: list[tuple[str, object]] = []
    stub = fame.client.ask

    async def ask(method: str, *, at: str | None = None, arguments: Mapping[str, Any] | None = None) -> object:
        told = dict(arguments or {})
        if not method.startswith("mail."):
            return await stub(method, at=at, arguments=arguments)
        if method == "mail.ls":
            offset, begins, box = told.pop("offset"), told["id"], told["box"]
            place = {each["id"]: "mailbox" if each.get("mailbox") else each["box"] for each in ROWS}
            fits = [each for each in ROWS if each["id"].startswith(begins) and box in ("", place[each["id"]])]
            if not offset:
                asked.append((at or "", told))
            return fits[offset : offset + 1]
        asked.append((at or "", {"method": method, **told}))
        if method == "mail.show":
            return {**ROWS[0], "payload": {"n": 1}}
        return {"ids": [each for each in told["ids"] if each != "ab3"], "reason": ""}

    fame.client.ask = ask  # type: ignore[method-assign]  # a stub of the stub
    return asked


def test_without_a_store_the_sentinel_attached_to_is_asked(fame: Fame, desk: list[tuple[str, object]]) -> None:
    result = fame("mail", "ls")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:3] for line in lines[1:]] == [
        ["aa1", "mailbox", "math1@fame.fabric"],
        ["aa2", "dead", "math1@fame.fabric"],
        ["ab3", "dead", "math2@fame.fabric"],
    ]
    assert lines[1][4] == "1m05s"
    assert desk == [("", {"box": "", "address": "", "id": ""})]
    assert [each["id"] for each in json.loads(fame("mail", "ls", "-o", "json", "--box", "dead").stdout)] == [
        "aa2",
        "ab3",
    ]
    assert fame("mail", "ls", "-n", "2").stderr == "fame: the first 2 messages; all of them: --limit 0\n"


def test_both_ways_print_the_same_members(fame: Fame, desk: list[tuple[str, object]], tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db")
    database.apply([Put(LETTERS[0])])
    database.close()
    running, stopped = (
        json.loads(fame("mail", "ls", "-o", "json", *words).stdout) for words in ([], ["--storage", "x.db"])
    )
    assert running[0].keys() == stopped[0].keys()


def test_a_running_node_is_asked_at_a_path_by_id_or_by_address(fame: Fame, desk: list[tuple[str, object]]) -> None:
    fame.client.answers["fabric.links"] = [{"node": "math-agent1", "kind": "child", "path": "/s1/math-agent1-x1"}]
    for place, path in {"/s/x": "/s/x", "s2": "/s2", "math1@fame.fabric": "/s1/math-agent1-x1"}.items():
        assert fame("mail", "ls", "--at", place).exit_code == 0
        assert desk[-1][0] == path
    assert fame("mail", "ls", "--at", "nobody@fame.fabric").exit_code == NoRoute.exit_code
    assert fame("mail", "ls", "--at", "s7").exit_code == NoRoute.exit_code


def test_a_config_of_a_client_without_a_store_says_how_to_attach(
    fame: Fame, desk: list[tuple[str, object]], tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text("kind: client\nid: c7\n")
    assert fame("mail", "ls", "--config", "c.yaml").exit_code == 0
    assert fame.client.settings is not None
    assert fame.client.settings.node_id == "c7"
    fame.env["FAME_STORAGE_PATH"] = "none.db"
    assert fame("mail", "ls", "--at", "/s1").exit_code == 0  # who says whom to ask means no file
    assert fame.client.settings.storage is None


def test_a_message_of_a_running_node_is_shown_by_the_beginning_of_its_id(
    fame: Fame, desk: list[tuple[str, object]]
) -> None:
    result = fame("mail", "show", "aa1", "-o", "json")
    assert json.loads(result.stdout)["payload"] == {"n": 1}
    assert desk == [
        ("", {"box": "", "address": "", "id": "aa1"}),
        ("", {"method": "mail.show", "id": "aa1", "box": OUT}),
    ]
    assert fame("mail", "show", "a").stderr.startswith('fame: "a" means several messages: "aa1", "aa2", "ab3"')
    assert fame("mail", "show", "zz").exit_code == FameError.exit_code


def test_dead_letters_of_a_running_node_are_retried_and_messages_dropped(
    fame: Fame, desk: list[tuple[str, object]]
) -> None:
    assert fame("mail", "retry", "aa2", "--at", "/s1/a").stderr == "fame: aa2 waits again\n"
    assert desk[-1] == ("/s1/a", {"method": "mail.retry", "ids": ["aa2"]})
    assert fame("mail", "drop", "aa1", "aa2").stderr == "fame: 2 messages are gone\n"
    assert desk[-2:] == [
        ("", {"method": "mail.drop", "ids": ["aa1"], "box": OUT}),
        ("", {"method": "mail.drop", "ids": ["aa2"], "box": DEAD}),
    ]
    result = fame("mail", "retry", "--all")
    assert result.exit_code == FameError.exit_code
    assert result.stderr == (
        "fame: aa2 waits again\nfame: 1 of 2 messages unchanged: they are on their way, or gone already\n"
    )
