"""A config that is read again: what changes, what needs a restart, and what is wrong with it."""

import os
from pathlib import Path

import pytest
from tls_rig import Authority

from fame_cli.config.build import adjustable
from fame_cli.config.load import load
from fame_cli.config.reload import Outcome, Reloading, merged
from fame_cli.config.schema import AgentConfig, SentinelConfig
from fame_cli.core.limits import Limits
from fame_cli.node.adjusting import Adjustable
from fame_cli.security.keystore import Home

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


POLICY = "version: '1'\nrules:\n  - {id: %s, effect: allow}\n"


class Secured(Reloads):
    """Reload a sentinel that asks a policy; what it says is in files beside its own.

    Args:
        tmp_path: for the files.
        security: more of that section.
        profile: of the sentinel.
        more: other sections.
    """

    def __init__(self, tmp_path: Path, security: str = "", more: str = "", profile: str = "gated") -> None:
        security = f"{{home: home, profile: {profile}, policy: p.yaml{security}}}"
        text = f"id: s1\nlog: {{level: error}}\nsecurity: {security}\n{more}"
        self.text = f"kind: sentinel\n{text}"
        self.folder = tmp_path
        self.put("p.yaml", POLICY % "a")
        super().__init__(tmp_path, text)

    def put(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_name("fresh")
        fresh.write_text(text)
        fresh.chmod(0o600)
        fresh.replace(path)

    def again(self) -> Outcome:
        return self(self.text)


def rules_of(told: Adjustable) -> list[str]:
    assert told.security is not None
    assert told.security.policy is not None
    return [rule.id for rule in told.security.policy.policy.rules]


def test_a_policy_that_has_changed_counts_at_once_and_is_named(tmp_path: Path) -> None:
    reload = Secured(tmp_path)
    assert reload.again() == Outcome()
    reload.put("p.yaml", POLICY % "b")
    assert reload.again() == Outcome(files=("p.yaml",))
    assert rules_of(reload.adjusted[-1]) == ["b"]
    assert reload.again() == Outcome()


def test_a_policy_that_does_not_load_any_more_is_told_each_time_with_its_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reload = Secured(tmp_path)
    reload.put("p.yaml", POLICY.replace("effect", "efect") % "b")
    adjusted = len(reload.adjusted)
    for _ in range(2):
        outcome = reload.again()
        assert outcome.error.startswith(f"{tmp_path}/p.yaml:3:")
        assert outcome.error.endswith('; did you mean "effect"')
    changed = reload(f"{reload.text}drain_s: 1\n")
    assert (changed.changed, changed.error) == ((), outcome.error)
    assert len(reload.adjusted) == adjusted
    assert [record.message for record in caplog.records] == ["config_not_reloaded"] * 3
    reload.put("p.yaml", POLICY % "b")
    assert reload.again() == Outcome(files=("p.yaml",))


def test_other_files_that_have_changed_are_named_by_whether_they_count(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path, "one"), Authority(tmp_path, "two")
    authority.issue("s1")
    reload = Secured(tmp_path, ", tls: {certificate: s1.pem, key: s1.key}")
    other.issue("s2")
    assert reload.again() == Outcome()
    (tmp_path / "s2.pem").replace(tmp_path / "s1.pem")
    assert "isn't that of" in reload.again().error
    (tmp_path / "s2.key").replace(tmp_path / "s1.key")
    assert reload.again() == Outcome(files=("s1.pem", "s1.key"))
    reload.put("home/revoked.json", '{"revoked": 1}')
    assert "not a list of revoked tokens" in reload.again().error
    reload.put("home/revoked.json", '{"revoked": []}')
    Home(tmp_path / "home").node_keys("s1")  # as the node does at its start
    assert reload.again() == Outcome(files=("revoked.json",))
    Home(tmp_path / "home").rotate_node("s1")
    assert reload.again() == Outcome((), ("keys/s1.json",))
    assert not reload.adjusted


def test_a_token_that_has_changed_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "t.jwt").write_text("one")
    reload = Secured(tmp_path, more="admission: {token_file: t.jwt}\n")
    reload.put("t.jwt", "two words")
    assert reload.again().error == f"{tmp_path}/t.jwt: no token in it; write one token and nothing else"
    reload.put("t.jwt", "other")
    assert reload.again() == Outcome(files=("t.jwt",))


def test_a_policy_that_nobody_asks_is_not_said_to_count(tmp_path: Path) -> None:
    reload = Secured(tmp_path, profile="open")
    reload.put("p.yaml", POLICY % "b")
    assert reload.again() == Outcome()


def test_a_pipe_in_the_place_of_the_config_is_not_waited_for(tmp_path: Path) -> None:
    file, outcomes = tmp_path / "s.yaml", list[Outcome]()
    running = sentinel(tmp_path, "")
    file.unlink()
    os.mkfifo(file)
    Reloading(running, lambda: load(file, kind="sentinel", env={}), outcomes.append)(lambda _: None)
    assert outcomes == [Outcome(error=f"{file}: can't be read: not a regular file; check the file")]
