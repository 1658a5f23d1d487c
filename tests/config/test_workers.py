"""A sentinel of several processes, from its config: what each worker gets, and what can't be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fame_cli.config.load import AnyConfig, load
from fame_cli.config.schema import SentinelConfig
from fame_cli.config.workers import config_of_worker, opened, packed
from fame_cli.errors import ConfigError, UsageError

FULL = """
kind: sentinel
id: s
listen: 127.0.0.1:8000
workers: 3
peers: [{direct_url: "ws://127.0.0.1:8001/fame/v1/attach/ws/peer", cost: 4}]
upstream: {direct_url: "ws://127.0.0.1:8002/fame/v1/attach/ws/downstream"}
limits: {max_links: 7}
routing: {balance: sticky}
wire: {transport: websockets, batch: false}
log: {show_envelopes: true, format: json}
mailboxes: [{address: a@b}]
storage: {path: s.db}
delivery: {profile: at-least-once}
"""


def sentinel(loaded: Callable[..., AnyConfig]) -> SentinelConfig:
    config = loaded(FULL)
    assert isinstance(config, SentinelConfig)
    return config


def test_the_first_worker_alone_has_peers_parent_and_mailboxes(loaded: Callable[..., AnyConfig]) -> None:
    config = sentinel(loaded)
    workers = [config_of_worker(config, number) for number in (1, 2, 3)]
    assert [worker.id for worker in workers] == ["s", "s.2", "s.3"]
    assert [len(worker.peers) for worker in workers] == [1, 0, 0]
    assert [worker.upstream is not None for worker in workers] == [True, False, False]
    assert [len(worker.mailboxes) for worker in workers] == [1, 0, 0]
    assert [worker.storage_file() is not None for worker in workers] == [True, False, False]
    assert {worker.workers for worker in workers} == {1}


def test_all_else_is_the_same_for_all_workers(loaded: Callable[..., AnyConfig]) -> None:
    config = sentinel(loaded)
    own = {"id", "workers", "peers", "upstream", "mailboxes", "storage"}
    assert config_of_worker(config, 2).model_dump(exclude=own) == config.model_dump(exclude=own)


@pytest.mark.parametrize("number", [1, 2])
def test_a_worker_s_config_survives_the_pipe(loaded: Callable[..., AnyConfig], number: int) -> None:
    config = sentinel(loaded)
    line = packed(config, number)
    assert b"\n" not in line
    assert opened(line) == (number, config_of_worker(config, number))


def test_a_worker_finds_files_where_its_sentinel_does(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.yaml"
    file.parent.mkdir()
    file.write_text("kind: sentinel\nid: s\nworkers: 2\nsecurity: {audit: audit.jsonl}\n", encoding="utf-8")
    _, worker = opened(packed(load(file, kind="sentinel", env={}), 2))
    settings = worker.security_settings()
    assert settings is not None
    assert settings.audit == file.parent / "audit.jsonl"


@pytest.mark.parametrize("count", ["0", "65", "two", "1.5"])
def test_a_number_of_workers_that_can_t_be_is_refused(tmp_path: Path, count: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"kind: sentinel\nworkers: {count}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a\.yaml:2:10: workers: "):
        load(file, kind="sentinel", env={})
    with pytest.raises(UsageError, match=r"^--workers: "):
        load(None, kind="sentinel", env={}, overrides={"workers": count})


def test_an_id_must_leave_room_for_those_of_the_workers(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"kind: sentinel\nid: {'x' * 126}\nworkers: 12\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is too long for the ids of its workers; use at most 125 characters"):
        load(file, kind="sentinel", env={})
    assert load(file, kind="sentinel", env={}, overrides={"workers": 9}).workers == 9
