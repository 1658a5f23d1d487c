"""The resolved config: complete, loadable, and without its secrets."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fame_cli.config.load import load_any
from fame_cli.config.show import resolved_yaml

Write = Callable[..., Path]

AGENT = "kind: agent\nagent:\n  import: m:C\n  address: a@fame.fabric\n"
OPERATIONS = """\
kind: agent
agent:
  address: a@fame.fabric
  operations:
    t: {template: "$${x} {{ y }} $$$$", params: {token: {type: string, default: ~}, n: {type: integer, default: 5}}}
    c: {command: [on, "5", "yes"], stream: true}
    h: {http: {url: "http://h/p?q=1", headers: {a: "1"}}}
"""


def shown(path: Path, **env: str) -> str:
    return resolved_yaml(*load_any(path, env=env))


def test_every_default_is_filled_in(write: Write) -> None:
    data = yaml.safe_load(shown(write("kind: sentinel\n")))
    assert data["kind"] == "sentinel"
    assert data["limits"] == {
        "max_message_bytes": 262144,
        "max_hops": 16,
        "max_held_bytes": 268435456,
        "max_links": 10000,
        "attach_s": 5.0,
        "messages_per_s": 200000,
        "bytes_per_s": 2147483648,
        "calls_in_flight": 65536,
        "routes": 131072,
        "unknown_keys": 64,
        "waiting_envelopes": 256,
        "errors": 100,
        "links_per_grant": 256,
    }


def test_variables_are_replaced(write: Write) -> None:
    assert "listen: 127.0.0.1:9" in shown(write("kind: sentinel\nlisten: 127.0.0.1:${P:-8}\n"), P="9")


@pytest.mark.parametrize(
    "text",
    [
        "kind: sentinel\nid: on\npeers: [{direct_url: 'ws://h:1/fame/v1/attach/ws/peer'}]\n",
        OPERATIONS,
        AGENT + "  init: {a: null, b: '1', c: 'on', d: [1, 1.5, true], e: '$${X}', f: {}, g: '$5'}\n",
        "kind: client\ntimeout_s: 0.5\n",
        "kind: fabric\nname: f\nnodes: [{kind: client, id: '5'}]\n",
        "node: {type: Sentinel, id: s1}\n",
    ],
)
def test_what_is_shown_loads_again_and_means_the_same(write: Write, text: str) -> None:
    first, tree = load_any(write(text), env={})
    second, _ = load_any(write(resolved_yaml(first, tree), "b.yaml"), env={})
    assert second.model_dump() == first.model_dump()


@pytest.mark.parametrize(
    "text",
    [
        "init: {password: hunter2}",
        "init: {api_key: hunter2}",
        "init: {tokens: 1, x: {client-secret: [hunter2]}}",
        "init: {x: 'prefix ${MY_TOKEN}'}",
        "init: {x: ['${MY_TOKEN}']}",
        "init: {x: 'http://me:hunter2@h/'}",
        "init: {x: 'Authorization: Bearer hunter2'}",
        "init: {x: 'http://h/?access_token=hunter2&y=1'}",
        "description: ${MY_TOKEN}",
    ],
)
def test_a_secret_is_masked(write: Write, text: str) -> None:
    said = shown(write(AGENT + "  " + text.replace("${MY_TOKEN}", "$<MY_TOKEN>") + "\n"), MY_TOKEN="hunter2")
    assert "hunter2" not in said
    assert "***" in said


def test_what_is_no_secret_is_not_masked(write: Write) -> None:
    assert "***" not in shown(write(OPERATIONS))


def test_a_secret_of_a_fabric_is_masked(write: Write) -> None:
    write("kind: client\nid: ${PASSWORD}\n", "c.yaml")
    path = write("kind: fabric\nname: f\nnodes: [{config: c.yaml, env: {PASSWORD: hunter2}}]\n")
    assert "hunter2" not in shown(path)
