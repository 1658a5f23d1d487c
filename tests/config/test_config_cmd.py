"""`fame config`: its lines, its exit codes, and that stdout holds data only."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fame_cli.cli.main import app
from fame_cli.cli.options import Invocation

Write = Callable[..., Path]
CONFIGS = Path(__file__).parents[2] / "configs"


def config(*args: str, **env: str) -> Result:
    return CliRunner().invoke(app, ["config", *args], obj=Invocation(env=env))


def test_check_says_what_a_good_file_is(write: Write) -> None:
    result = config("check", str(write("kind: sentinel\nid: s1\n")))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "a.yaml: ok, sentinel s1\n", "")


def test_check_takes_every_kind() -> None:
    result = config("check", *(str(path) for path in sorted(CONFIGS.glob("*.yaml"))))
    assert result.exit_code == 0
    assert result.stdout.count(": ok, ") == len(list(CONFIGS.glob("*.yaml")))


def test_check_takes_the_nested_form(write: Write) -> None:
    assert config("check", str(write("node: {type: Sentinel, id: s1}\n"))).exit_code == 0


def test_check_lists_every_mistake_and_exits_3(write: Write) -> None:
    result = config("check", str(write("kind: sentinel\nlisten: x\npeer: []\n")))
    assert (result.exit_code, result.stdout) == (3, "")
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == ["a.yaml:2:9", "a.yaml:3:1"]


def test_check_goes_on_after_a_bad_file(write: Write) -> None:
    bad, good = write("kind: x\n"), write("kind: client\n", "b.yaml")
    result = config("check", str(bad), str(good))
    assert (result.exit_code, result.stdout) == (3, "b.yaml: ok, client\n")


@pytest.mark.parametrize("text", ["a: [", "kind: client\nx: ${NOPE}\n", "", "kind: client\nid: [1]\n"])
def test_check_exits_3_for_any_bad_file(write: Write, text: str) -> None:
    assert config("check", str(write(text))).exit_code == 3


def test_check_exits_3_where_there_is_no_file(write: Write) -> None:
    assert config("check", "nope.yaml").exit_code == 3


def test_check_uses_the_variables(write: Write) -> None:
    assert config("check", str(write("kind: client\nid: ${ME}\n")), ME="me").stdout == "a.yaml: ok, client me\n"


def test_show_prints_the_resolved_file(write: Write) -> None:
    result = config("show", str(write("kind: client\nid: ${ME}\n")), ME="me")
    assert result.exit_code == 0
    assert "id: me\n" in result.stdout


def test_show_prints_one_node_of_a_fabric() -> None:
    result = config("show", str(CONFIGS / "reference.yaml"), "--node", "s2")
    assert "listen: 127.0.0.1:8001\n" in result.stdout


def test_show_exits_3_for_a_bad_file(write: Write) -> None:
    result = config("show", str(write("kind: client\nx: 1\n")))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "a.yaml:2:1: unknown key" in result.stderr


def test_schema_prints_json() -> None:
    result = config("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_check_lists_what_a_config_names_and_is_not_there(write: Write) -> None:
    path = write("kind: sentinel\nsecurity:\n  profile: gated\n  policy: p.yaml\n  tls: {authorities: ca.pem}\n")
    result = config("check", str(path))
    assert (result.exit_code, result.stdout) == (3, "")
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == ["a.yaml:4:11", "a.yaml:5:22"]
