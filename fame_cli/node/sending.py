"""A client's verbs for messages that nobody answers (spec 8.6, ADR 27)."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fame_cli.core.calls import request_payload
from fame_cli.core.envelope import encode_json
from fame_cli.errors import DeadlineExceeded, LocalProtocolError, UsageError, error_for_nack
from fame_cli.node.runner import Node

__all__ = ["Sending", "message_payload"]

QUIET_S = 0.5
"""Seconds without a message that has gone, after which a client waits for no more of them."""


class Sending:
    """Give a client its verbs for messages."""

    timeout_s: float

    @property
    def storage(self) -> Path | None:
        """The file that keeps durable messages; None for memory."""
        return self._attached().mail.path

    async def send(self, target: str, payload: Any, *, operation: str = "", durable: bool | None = None) -> str:
        """Send a message: any JSON value, for the agent's `on_message`.

        Args:
            operation: of the agent, that is to run; `payload` are its arguments then, a list or an object.
            durable: True to answer for it until somebody else does: returns once it is kept, in memory or in the file
                of `storage`, and it is sent until it is acknowledged, over links and agents that come and go. False to
                send it once: returns once it has left, which is all that is known of it then. None for what `delivery`
                says.

        Returns:
            The id of a durable message, for `delivered`; "" otherwise.

        Raises:
            LinkLost: not durable, and there is no link at the moment.
            Overloaded, StoreFull: it can't be kept.
            UsageError: in ``strict-overlay``, which keeps nothing: what is sealed is sealed for one try.
            LocalProtocolError: not JSON.
        """
        node = self._attached()
        data = message_payload(payload, operation, node.core.state.new_id())
        if durable if durable is not None else node.core.settings.delivery.at_least_once:
            if node.core.state.gate.seals:
                hint = "send it once, or call an operation and retry"
                raise UsageError("strict-overlay seals each message for one try, and keeps none", hint=hint)
            return await node.mail.send(target, data)
        address, seal_to = await self._callee(target, operation, None)
        refusal, effects = node.core.post(address or target, data, time.monotonic(), seal_to)
        node.perform(effects)
        if refusal is not None:
            raise error_for_nack(refusal.code, refusal.reason)
        return ""

    async def delivered(self, message_id: str, *, timeout_s: float | None = None) -> None:
        """Wait until somebody else answers for a durable message: its agent, or a sentinel's mailbox.

        Args:
            timeout_s: seconds to wait; None for the client's own. The message is sent all the same afterwards.

        Raises:
            DeadlineExceeded: not yet; its `last` is why the last try failed.
            FameError: it was given up, for a reason that time doesn't mend.
        """
        node = self._attached()
        if not message_id:
            raise LocalProtocolError("nobody says what becomes of a message that is sent once", hint="durable=True")
        limit_s = timeout_s or self.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await node.mail.delivered(message_id)
        except TimeoutError as error:
            last = node.mail.failure(message_id)
            why = last.message if last is not None else "no acknowledgement yet"
            text = f"not delivered within {limit_s:g} s: {why}"
            raise DeadlineExceeded(text, hint="raise --timeout", last=last) from error

    async def calm(self, quiet_s: float = QUIET_S) -> int:
        """Wait as long as durable messages go, those of earlier clients with this file, too.

        Args:
            quiet_s: seconds without one that has gone, after which the rest isn't waited for, > 0.

        Returns:
            How many are left.
        """
        return await self._attached().mail.calm(quiet_s)

    def _attached(self) -> Node:
        raise NotImplementedError

    async def _callee(
        self, target: str | None, operation: str, capabilities: list[str] | None
    ) -> tuple[str | None, str]:
        raise NotImplementedError


def message_payload(payload: Any, operation: str, id: str) -> bytes:
    """Return the JSON of a message.

    Args:
        payload: any JSON value; the arguments where there is an operation, a list or an object.
        operation: that is to run, "" for none.
        id: of the request that makes it run.

    Raises:
        LocalProtocolError: not JSON, or no arguments.
    """
    if operation:
        return request_payload(id, operation, encode_json(_params(payload)))
    return encode_json(payload)


def _params(payload: Any) -> dict[str, Any]:
    """Return the JSON-RPC params of arguments as the stock proxy sends them (spec 8.1).

    Raises:
        LocalProtocolError: neither a list nor an object.
    """
    if isinstance(payload, dict):
        return {"kwargs": payload}
    if isinstance(payload, Sequence) and not isinstance(payload, str):
        return {"args": list(payload), "kwargs": {}}
    if payload is None:
        return {"kwargs": {}}
    raise LocalProtocolError("the arguments of an operation are a list or an object")
