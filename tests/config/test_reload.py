"""A config that is read again: what changes, what needs a restart, and what is wrong with it."""

from pathlib import Path

import pytest

from fame_cli.config.build import adjustable
from fame_cli.config.load import load
from fame_cli.config.reload import Outcome, Reloading, merged
from fame_cli.config.schema import AgentConfig, SentinelConfig
from fame_cli.core.limits import Limits
from fame_cli.node.adjusting import Adjustable

PEER = "ws://127.0.0.1:8001/fame/v1/attach/ws/peer"
OTHER = "ws://127.0.0.1:8002/fame/v1/attach/ws/peer"


def sentinel(tmp_path: Path, text: str) -> SentinelConfig:
    file = tmp_path / "s.yaml"
    file.write_text(f"kind: sentinel\n{text}")
    return load(file, kind="sentinel", env={"HOME": str(tmp_path)})


def agent(tmp_path: Path, text: str) -> AgentConfig:
    file = tmp_path / "a.yaml"
    file.write_text(f"kind: agent\n{text}")
    return load(file, kind="agent", env={})


def test_nothing_has_changed_in_the_same_file(tmp_path: Path) -> None:
    running = sentinel(tmp_path, f"peers: [{{direct_url: '{PEER}'}}]\n")
    assert merged(running, sentinel(tmp_path, f"peers: [{{direct_url: '{PEER}', cost: 1}}]\n")) == (running, Outcome())


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"peers: [{{direct_url: '{PEER}'}}]\n", "peers"),
        ("log: {level: debug}\n", "log.level"),
        ("log: {format: json}\n", "log.format"),
        ("limits: {max_links: 5}\n", "limits.max_links"),
        ("limits: {messages_per_s: 5}\n", "limits.messages_per_s"),
        ("routing: {balance: random}\n", "routing.balance"),
        ("drain_s: 1\n", "drain_s"),
    ],
)
def test_what_can_change_changes(tmp_path: Path, text: str, key: str) -> None:
    wanted = sentinel(tmp_path, text)
    assert merged(sentinel(tmp_path, ""), wanted) == (wanted, Outcome((key,)))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("id: s2\n", "id"),
        ("listen: 127.0.0.1:8009\n", "listen"),
        ("workers: 2\n", "workers"),
        (f"upstream: {{direct_url: '{PEER.replace('/peer', '/downstream')}'}}\n", "upstream.direct_url"),
        ("wire: {batch: false}\n", "wire.batch"),
        ("log: {show_envelopes: true}\n", "log.show_envelopes"),
        ("limits: {max_message_bytes: 5000}\n", "limits.max_message_bytes"),
        ("security: {skew_s: 5}\n", "security.skew_s"),
    ],
)
def test_what_needs_a_restart_is_named_and_keeps_its_value(tmp_path: Path, text: str, key: str) -> None:
    running = sentinel(tmp_path, "")
    effective, outcome = merged(running, sentinel(tmp_path, text))
    assert effective == running
    assert key in outcome.kept
    assert not outcome.changed


def test_both_kinds_of_change_at_once(tmp_path: Path) -> None:
    wanted = sentinel(tmp_path, "listen: 127.0.0.1:8009\nlimits: {max_links: 5, max_message_bytes: 5000}\n")
    effective, outcome = merged(sentinel(tmp_path, ""), wanted)
    assert outcome == Outcome(("limits.max_links",), ("listen", "limits.max_message_bytes"))
    assert (effective.listen, effective.limits.max_links) == ("127.0.0.1:8000", 5)
    assert effective.limits.max_message_bytes == 262_144


def test_a_policy_may_come_from_another_file_where_there_was_one(tmp_path: Path) -> None:
    for name in ("p", "q"):
        (tmp_path / f"{name}.yaml").write_text("type: basic\nrules: []\n")
    texts = [f"security: {{profile: gated, policy: {name}.yaml}}\n" for name in ("p", "q")]
    configs = [sentinel(tmp_path, text) for text in texts]
    assert merged(*configs)[1] == Outcome(("security.policy",))
    none = sentinel(tmp_path, "security: {profile: gated}\n")
    assert merged(none, configs[0])[1] == Outcome((), ("security.policy",))


def test_a_credential_for_a_peer_needs_a_restart_where_nothing_was_shown_before(tmp_path: Path) -> None:
    shown = f"peers: [{{direct_url: '{PEER}', admission: {{token: t}}}}]\n"
    effective, outcome = merged(sentinel(tmp_path, ""), sentinel(tmp_path, shown))
    assert outcome == Outcome(("peers",), ("peers.admission",))
    assert [peer.admission for peer in effective.peers] == [None]
    before = sentinel(tmp_path, "admission: {token: t}\n")
    wanted = sentinel(tmp_path, f"admission: {{token: t}}\n{shown}")
    assert merged(before, wanted) == (wanted, Outcome(("peers",)))


def test_an_agent_has_less_that_can_change(tmp_path: Path) -> None:
    block = "agent: {address: 'a@fame.fabric', import: 'm:A', %s}\n"
    running = agent(tmp_path, block % "max_concurrent: 1")
    wanted = agent(tmp_path, block % "max_concurrent: 2, init: {a: {b: 1}}" + "logicals: [fame.fabric, b.fabric]\n")
    effective, outcome = merged(running, wanted)
    assert outcome == Outcome(("agent.max_concurrent",), ("logicals", "agent.init"))
    assert adjustable(effective).max_concurrent == 2


def test_a_node_is_told_what_counts_now(tmp_path: Path) -> None:
    text = f"peers: [{{direct_url: '{PEER}', cost: 3}}]\nlimits: {{max_hops: 4, routes: 7}}\ndrain_s: 2\n"
    told = adjustable(sentinel(tmp_path, text))
    assert (told.peers, told.max_hops, told.drain_s) == ({PEER: 3}, 4, 2.0)
    assert told.limits == Limits(routes=7)


class Reloads:
    """Reload what a test writes, and remember what was told."""

    def __init__(self, tmp_path: Path, text: str) -> None:
        self.adjusted: list[Adjustable] = []
        self.outcomes: list[Outcome] = []
        self._path = tmp_path / "s.yaml"
        self._reloading = Reloading(sentinel(tmp_path, text), self._read, self.outcomes.append)

    def _read(self) -> SentinelConfig:
        return load(self._path, kind="sentinel", env={}, overrides={"log.level": "error"})

    def __call__(self, text: str) -> Outcome:
        self._path.write_text(text)
        self._reloading(self.adjusted.append)
        return self.outcomes[-1]


def test_each_reload_begins_with_what_counts_already(tmp_path: Path) -> None:
    reload = Reloads(tmp_path, "log: {level: error}\n")
    first = "kind: sentinel\nlimits: {max_links: 5}\nlisten: 127.0.0.1:8009\n"
    assert reload(first) == Outcome(("limits.max_links",), ("listen",))
    assert reload(first) == Outcome((), ("listen",))
    assert reload("kind: sentinel\n") == Outcome(("limits.max_links",))
    assert [told.max_links for told in reload.adjusted] == [5, 10_000]


@pytest.mark.parametrize("text", ["kind: sentinel\nlimits: {max_links: no}\n", "kind: [", "kind: agent\n", "\0"])
def test_a_file_that_does_not_load_changes_nothing(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="fame")
    reload = Reloads(tmp_path, "log: {level: error}\n")
    outcome = reload(text)
    assert str(tmp_path / "s.yaml") in outcome.error
    assert (outcome.changed, reload.adjusted) == ((), [])
    assert [record.message for record in caplog.records] == ["config_not_reloaded"]
    assert reload("kind: sentinel\n") == Outcome()


def test_a_node_without_a_file_says_so(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    Reloading(sentinel(tmp_path, ""), None, outcomes.append)(lambda _: None)
    assert outcomes == [Outcome(error="there is no file to read again; start the node with --config FILE")]
