"""The port that workers share: theirs alone, and known before they listen."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from fame_cli.errors import ConfigError
from fame_cli.node.loop import run
from fame_cli.node.supervisor import Supervisor, WorkerDied, reserve


def listener(port: int, *, shares: bool) -> socket.socket:
    """Listen as asyncio does, alone or with others."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shares:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    made.listen()
    return made


@pytest.fixture
def port() -> Iterator[int]:
    with reserve("127.0.0.1", 0) as held:
        yield held.getsockname()[1]


def test_a_reserved_port_is_one_that_workers_can_share(port: int) -> None:
    assert port > 0
    with closing(listener(port, shares=True)), closing(listener(port, shares=True)):
        pass


def test_whoever_does_not_share_can_t_have_a_reserved_port(port: int) -> None:
    with closing(listener(port, shares=True)), pytest.raises(OSError, match="in use"):
        listener(port, shares=False)


def test_nobody_is_connected_to_the_reservation_itself(port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_port_of_a_sentinel_without_workers_is_refused() -> None:
    with closing(listener(0, shares=False)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"^listen: can't listen on 127\.0\.0\.1:{taken}: address already in use"
        ):
            reserve("127.0.0.1", taken)


def test_a_port_of_another_sentinel_with_workers_is_refused(port: int) -> None:
    """Before its workers listen, and then."""
    with pytest.raises(ConfigError, match="address already in use"):
        reserve("127.0.0.1", port)
    with closing(listener(port, shares=True)), pytest.raises(ConfigError, match="address already in use"):
        reserve("127.0.0.1", port)


def test_a_host_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"can't listen on 192\.0\.2\.1:0: "):
        reserve("192.0.2.1", 0)


@pytest.mark.parametrize(("command", "told"), [("true", "exit code 0"), ("false", "exit code 1")])
def test_workers_that_are_gone_before_they_were_told_anything_are_workers_that_died(command: str, told: str) -> None:
    supervisor = Supervisor(
        "s", 4, lambda number: (command,), lambda number: b"{}" * 100_000, has_parent=False, drain_s=0
    )
    with pytest.raises(WorkerDied, match=f"^worker . ended with {told} before it took links") as caught:
        run(supervisor.serve())
    assert caught.value.exit_code == 1
