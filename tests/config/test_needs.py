"""What `fame config check` says of files that a config names: that they are there, and what they should be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fame_cli.config.load import load_any, load_nodes
from fame_cli.config.needs import unmet
from fame_cli.config.validate import findings

Write = Callable[..., Path]

POLICY = "version: '1'\ntype: BasicAuthorizationPolicy\ndefault_effect: deny\nrules: []\n"
PEER = "/fame/v1/attach/ws/peer"


def missing(path: Path, env: dict[str, str] | None = None) -> list[str]:
    """Return what `fame config check` would list."""
    errors = [error for node in load_nodes(path, env=env or {}) for error in unmet(*node)]
    return [line for error in errors for line in findings(error)]


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ("security: {profile: open, policy: x}", "2:35: security.policy"),
        ("security: {tls: {authorities: x}}", "2:31: security.tls.authorities"),
        (
            "security: {profile: open, issuers: [{issuer: i, audience: a, key_file: x}]}",
            "2:72: security.issuers[0].key_file",
        ),
        ("admission: {token_file: x}", "2:25: admission.token_file"),
        (
            f"peers: [{{direct_url: 'wss://h{PEER}', admission: {{token_file: x}}}}]",
            "2:80: peers[0].admission.token_file",
        ),
    ],
)
def test_a_file_that_is_not_there_is_named_at_its_place(write: Write, section: str, place: str) -> None:
    path = write(f"kind: sentinel\n{section}\n", "deep/a.yaml")
    what = "can't be read: no such file or directory (deep/x); write it there, or correct its name"
    assert missing(path) == [f'deep/a.yaml:{place}: "x" {what}']


def test_a_file_that_a_variable_names_is_looked_for_where_the_node_would(write: Write) -> None:
    path = write("kind: client\n", "deep/a.yaml")
    env = {"FAME_ADMISSION_TOKEN_FILE": "t.jwt"}
    assert missing(path, env)[0].startswith('FAME_ADMISSION_TOKEN_FILE: admission.token_file: "')
    write("abc", "t.jwt")
    assert missing(path, env) == []


def test_all_that_is_missing_is_listed(write: Write) -> None:
    tls = "{certificate: c, key: k, authorities: a}"
    assert len(missing(write(f"kind: sentinel\nsecurity: {{profile: open, policy: p, tls: {tls}}}\n"))) == 4


def test_a_folder_is_no_token(write: Write) -> None:
    path = write("kind: client\nadmission: {token_file: x}\n")
    Path("x").mkdir()
    assert "can't be read: is a directory" in missing(path)[0]


def test_the_mistakes_of_a_policy_are_those_of_its_own_file(write: Write) -> None:
    path = write("kind: sentinel\nsecurity: {profile: open, policy: p.yaml}\n")
    write(POLICY.replace("deny", "perhaps") + "more: 1\n", "p.yaml")
    assert [line.partition(": ")[0] for line in missing(path)] == ["p.yaml:3:17", "p.yaml:5:1"]
    write(POLICY, "p.yaml")
    assert missing(path) == []


def test_files_that_hold_something_else_are_named(write: Write) -> None:
    issuers = "[{issuer: i, audience: a, key_file: k.json}]"
    path = write(f"kind: sentinel\nsecurity: {{profile: open, issuers: {issuers}, tls: {{certificate: c, key: k}}}}\n")
    for name in ("k.json", "c", "k"):
        write("nothing of use", name)
    first, second = missing(path)
    assert first.startswith("k.json: ")
    assert second.startswith("c: no certificate in PEM")
    assert "nothing of use" not in first + second


def test_the_nodes_of_a_fabric_are_looked_at_one_by_one(write: Write) -> None:
    write("kind: sentinel\nid: s\nsecurity: {profile: open, policy: p}\n", "s.yaml")
    inline = "{kind: client, id: c, admission: {token_file: t}}"
    path = write(f"kind: fabric\nname: f\nnodes:\n  - config: s.yaml\n  - {inline}\n")
    assert [line.partition(": ")[0] for line in missing(path)] == ["s.yaml:3:35", "a.yaml:5:51"]
    assert unmet(*load_any(path, env={})) == []


def test_what_names_no_file_needs_none(write: Write) -> None:
    assert missing(write("kind: sentinel\n")) == []


def test_the_module_of_an_agent_is_looked_for_and_not_run(write: Write) -> None:
    upstream = "upstream: {direct_url: ws://127.0.0.1:8000/fame/v1/attach/ws/downstream}"
    path = write(f"kind: agent\n{upstream}\nagent: {{import: 'greter:Greeter', address: a@fame.fabric}}\n", "a.yaml")
    [line] = missing(path)
    assert line.startswith("a.yaml:3:17: agent.import: no module greter; looked for greter.py in ")
    write("raise SystemExit\n", "greter.py")
    assert missing(path) == []
    on_the_path = f"kind: agent\n{upstream}\nagent: {{import: 'json:dumps', address: a@fame.fabric}}\n"
    assert missing(write(on_the_path, "b.yaml")) == []
