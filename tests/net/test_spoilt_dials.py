"""Dials that the event loop itself spoils: each is one that failed, so that whoever dialled tries again."""

import asyncio

import pytest

from fame_cli.errors import ConnectError
from fame_cli.net.pump import Turn

picows_ends = pytest.importorskip("fame_cli.net.picows_ends")


def test_a_dial_that_the_loop_spoils_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def spoilt(*told: object, **more: object) -> None:
        raise RuntimeError("unable to perform operation on <UVPoll closed=True 0x1>; the handler is closed")

    monkeypatch.setattr(picows_ends, "ws_connect", spoilt)
    with pytest.raises(ConnectError):
        asyncio.run(picows_ends.dial("ws://127.0.0.1:1/fame/v1/attach/ws/peer/s1", Turn()))
