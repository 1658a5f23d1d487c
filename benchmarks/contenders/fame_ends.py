"""The client process of the `fame` chain: `python -m contenders.fame_ends URL`."""

import inspect
import os
import sys
from pathlib import Path

from load import WrongAnswer, run, serve

from fame_cli import Client

ADDRESS = "bench@fame.fabric"


class FameEnds:
    """Call and stream through a client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self) -> None:
        """Add 3 and 4."""
        if (found := await self.client.call(ADDRESS, "add", x=3, y=4)) != 7:
            raise WrongAnswer(str(found))

    async def stream(self, count: int, item_bytes: int) -> None:
        """Read a stream to its end."""
        if item_bytes:
            await self._large(count, item_bytes)
            return
        number = 0
        async for item in self.client.stream(ADDRESS, "small", count=count):
            if item != number:
                raise WrongAnswer(f"item {number} is {item}")
            number += 1
        if number != count:
            raise WrongAnswer(f"{number} of {count} items")

    async def _large(self, count: int, item_bytes: int) -> None:
        number = 0
        async for item in self.client.stream(ADDRESS, "large", count=count, item_bytes=item_bytes):
            if len(item) != item_bytes:
                raise WrongAnswer(f"item {number} has {len(item)} bytes")
            number += 1
        if number != count:
            raise WrongAnswer(f"{number} of {count} items")


def client_of(url: str) -> Client:
    """Make a client as FAME_TRANSPORT, FAME_SECURITY_PROFILE and FAME_HOME say, like the other nodes of the chain."""
    profile, home = os.environ.get("FAME_SECURITY_PROFILE", "open"), os.environ.get("FAME_HOME", "")
    if profile != "open":
        from fame_cli.security.settings import SecuritySettings  # older versions have none

        security = SecuritySettings(profile, Path(home))
        return Client(url, transport=os.environ.get("FAME_TRANSPORT", "auto"), security=security)
    if "transport" in inspect.signature(Client).parameters:  # older ones have but one transport
        return Client(url, transport=os.environ.get("FAME_TRANSPORT", "auto"))
    return Client(url)


async def main(url: str) -> None:
    """Attach and do what stdin says."""
    async with client_of(url) as client:
        await serve(FameEnds(client))


if __name__ == "__main__":
    run(main(sys.argv[1]))
