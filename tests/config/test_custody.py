"""Delivery, storage and mailboxes of a config: what loads, what can't be, and what the node is told."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from fame_cli.config.build import agent_options, build_sentinel
from fame_cli.config.load import AnyConfig, load
from fame_cli.config.needs import unmet
from fame_cli.config.schema import AgentConfig, SentinelConfig
from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.errors import ConfigError
from fame_cli.node.options import Options

Loaded = Callable[..., AnyConfig]

AGENT = "kind: agent\nid: a1\nagent: {address: a@b, operations: {x: {template: y}}}\n"
FULL = AGENT + (
    "delivery: {profile: at-least-once, ack_timeout_s: 0.5, max_attempts: 9, max_age_s: 60, max_messages: 7,\n"
    "  max_bytes: 65536}\nstorage: {path: kept/a.db}\n"
)


def told(config: AnyConfig) -> Options:
    assert isinstance(config, AgentConfig)
    return agent_options(config)


def test_what_an_agent_is_told_of_delivery_and_storage(loaded: Loaded) -> None:
    options = told(loaded(FULL))
    assert options.delivery == Delivery(True, 0.5, 9, 60.0, 7, 65_536)
    assert options.storage == Path("kept/a.db")


def test_nothing_is_kept_unless_a_config_says_so(loaded: Loaded) -> None:
    options = told(loaded(AGENT))
    assert (options.delivery, options.storage) == (Delivery(), None)
    assert told(loaded(AGENT + "storage: {profile: memory}\n")).storage is None


def test_a_store_is_looked_up_beside_the_file(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.yaml"
    file.parent.mkdir()
    file.write_text(FULL, encoding="utf-8")
    assert told(load(file, kind="agent", env={})).storage == file.parent / "kept" / "a.db"


def test_a_store_without_a_path_is_in_the_home_folder_under_the_node_s_id(loaded: Loaded) -> None:
    config = loaded(AGENT + "security: {home: /h}\nstorage: {profile: sqlite}\n")
    assert told(config).storage == Path("/h/messages/a1.db")


def test_a_store_without_a_path_needs_an_id_that_stays(loaded: Loaded, tmp_path: Path) -> None:
    said = (
        "storage.profile: sqlite needs a path where the node's id is random; set storage.path, or give the node an id"
    )
    config = loaded(AGENT.replace("id: a1\n", "") + "storage: {profile: sqlite}\n")
    with pytest.raises(ConfigError) as caught:
        told(config)
    assert str(caught.value) == said


def test_a_check_of_a_config_says_that_its_store_has_no_place(loaded: Loaded) -> None:
    from fame_cli.config.document import Mark, Table

    tree = Table({}, Mark("a.yaml"))
    nameless = loaded("kind: sentinel\nstorage: {profile: sqlite}\n")
    assert [error.source for error in unmet(nameless, tree)] == ["storage.profile"]
    assert unmet(loaded("kind: client\n", {"FAME_STORAGE_PROFILE": "sqlite"}), tree) == []


def test_variables_say_how_messages_are_delivered_and_where_they_are(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = {"FAME_DELIVERY_PROFILE": "At-Least-Once", "FAME_STORAGE_PROFILE": "sqlite", "FAME_STORAGE_PATH": "x.db"}
    config = load(None, kind="sentinel", env=env)
    assert config.delivery.told().at_least_once
    assert config.storage_file() == tmp_path / "x.db"


def test_the_form_of_naylence_says_it_too(loaded: Loaded) -> None:
    config = loaded(
        "node:\n  id: n\n  storage: {type: StorageProfile, profile: sqlite, path: n.db}\n"
        "  delivery: {type: DeliveryProfile, profile: '${env:FAME_DELIVERY_PROFILE:at-least-once}', maxAttempts: 3}\n"
        "agent: {address: a@b, operations: {x: {template: y}}}\n"
    )
    options = told(config)
    assert options.delivery == Delivery(True, max_attempts=3)
    assert options.storage == Path("n.db")


def test_what_a_sentinel_is_told_of_its_mailboxes(loaded: Loaded) -> None:
    config = loaded(
        "kind: sentinel\nlisten: 127.0.0.1:0\nmailboxes:\n  - address: a@b\n"
        "  - {address: c@d, max_messages: 1, max_bytes: 65536, max_age_s: 0}\nstorage: {path: s.db}\n"
    )
    assert isinstance(config, SentinelConfig)
    assert tuple(each.told() for each in config.mailboxes) == (Mailbox("a@b"), Mailbox("c@d", 1, 65_536, 0.0))

    async def main() -> None:
        async with build_sentinel(config):
            pass

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("storage: {profile: sqllite}\n", 'a.yaml:4:20: storage.profile: unknown "sqllite"; use memory or sqlite'),
        (
            "storage: {profile: memory, path: x.db}\n",
            "a.yaml:4:34: storage.path: memory has no path; remove it, or use profile: sqlite",
        ),
        ("storage: {path: ''}\n", "can't name a file"),
        ("delivery: {profile: exactly-once}\n", 'unknown "exactly-once"; use at-most-once or at-least-once'),
        ("delivery: {ack_timeout_s: 0}\n", "delivery.ack_timeout_s"),
        ("delivery: {max_bytes: 5}\n", "delivery.max_bytes"),
        ("mailboxes: []\n", 'a.yaml:4:1: unknown key "mailboxes"'),
    ],
)
def test_a_mistake_is_one_line_with_its_place(problems: Callable[..., list[str]], text: str, said: str) -> None:
    assert any(said in line for line in problems(AGENT + text)), problems(AGENT + text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mailboxes: [{address: a@b}, {address: a@b}]\n", 'mailboxes[1].address: "a@b" is there twice; remove one'),
        ("mailboxes: [{address: a}]\n", "mailboxes[0].address"),
        (
            "mailboxes: [{address: a@b}]\nsecurity: {profile: strict-overlay}\n",
            "a sentinel can't keep what is sealed for somebody else; remove mailboxes, or set security.enc",
        ),
    ],
)
def test_a_mailbox_that_can_t_be_is_said(problems: Callable[..., list[str]], text: str, said: str) -> None:
    assert any(said in line for line in problems("kind: sentinel\n" + text)), problems("kind: sentinel\n" + text)
