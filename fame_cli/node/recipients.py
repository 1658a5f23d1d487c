"""Whom a sealed call is for: the place of an address and the key to seal to, asked of the sentinels and remembered."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from fame_cli.core.envelope import encode_json
from fame_cli.core.frames import KeyAnnounce
from fame_cli.errors import NoRoute, UsageError
from fame_cli.node.runner import Node

__all__ = ["Recipients"]

MOST_STEPS = 3
"""Sentinels that are asked one after the other: the nearest, the one that has the address, and one after a change."""

MAX_REMEMBERED = 4096

Ask = Callable[[str, str | None, Mapping[str, Any]], Awaitable[Any]]
"""Asks a sentinel: method, its physical path (None for the nearest), arguments."""


class Recipients:
    """Find and remember the nodes that calls are sealed for.

    Args:
        node: the caller's.
        ask: asks a sentinel.
    """

    def __init__(self, node: Node, ask: Ask) -> None:
        self._node = node
        self._ask = ask
        self._paths: dict[str, str] = {}

    async def of(self, target: str | None, capabilities: Sequence[str]) -> tuple[str, str]:
        """Return the address to call and the place of the node that has it; "" for the latter at a sentinel itself.

        Raises:
            NoRoute: nobody has it, or offers all of the capabilities.
            UsageError: its keys can't be believed.
        """
        address = target or await self.provider_of(capabilities)
        return address, "" if address.startswith("__sys__@") else await self.path_of(address)

    async def path_of(self, address: str) -> str:
        """Return the physical path of the node that has an address; its keys are known after that.

        Raises:
            NoRoute: nobody has it.
            UsageError: its keys can't be believed.
        """
        known = self._paths.get(address)
        if known is not None:
            return known
        at: str | None = None
        for _ in range(MOST_STEPS):
            found = await self._ask("fabric.keys", at, {"address": address})
            if not found:
                break
            if "at" in found:
                at = str(found["at"])
                continue
            return self._learned(address, str(found["path"]), found["keys"])
        raise NoRoute(f"nobody serves {address}")

    async def provider_of(self, capabilities: Sequence[str]) -> str:
        """Return the nearest address that offers all of some capabilities.

        Raises:
            NoRoute: nobody does.
        """
        offers = [await self._ask("fabric.lookup", None, {"capability": each}) for each in capabilities]
        addresses = [[str(row["address"]) for row in rows] for rows in offers]
        for address in addresses[0] if addresses else []:
            if all(address in others for others in addresses):
                return address
        raise NoRoute(f"nobody offers {' and '.join(capabilities)}")

    def _learned(self, address: str, path: str, keys: object) -> str:
        parent = self._node.core.table.parent
        gate = self._node.core.state.gate
        announce = KeyAnnounce(physical_path=path, keys=msgspec.Raw(encode_json(keys)))
        refusal = gate.learn(announce, parent) if parent is not None else None
        refusal = refusal or gate.owns(path, address)
        if refusal is not None:
            raise UsageError(f"the keys of {path} can't be believed: {refusal.reason}")
        if len(self._paths) >= MAX_REMEMBERED:
            self._paths.clear()
        self._paths[address] = path
        return path

    def forget(self, address: str) -> None:
        """Ask anew next time: whoever had the address may have moved."""
        self._paths.pop(address, None)
