"""A process that puts messages in a store until it is killed, and says on stdout which are kept.

``keeper.py FILE``: puts one after the other. ``keeper.py FILE BYTES``: no file may grow beyond so many bytes; puts
until that is told, removes the limit, and goes on until nothing is owed.
"""

import asyncio
import resource
import sys
from pathlib import Path

from fame_cli.core.message import OUT, Message
from fame_cli.errors import FameError
from fame_cli.store.store import Store

AT_ONCE = 64


def message(number: int) -> Message:
    return Message(id=str(number), box=OUT, address="a@b", payload=b'"%s"' % (b"x" * 1000))


async def keep(path: Path) -> None:
    """Have 64 on their way at any time."""
    async with Store.open(path) as store:

        def put(number: int) -> None:
            def done(error: FameError | None) -> None:
                print("failed" if error else number, flush=True)
                put(number + AT_ONCE)

            store.put(message(number), done)

        for number in range(AT_ONCE):
            put(number)
        await asyncio.Event().wait()


async def fill(path: Path, size: int) -> None:
    """Fill the disk, see it told, make room, and go on."""
    failed: list[str] = []

    def on_trouble(error: FameError | None) -> None:
        print("trouble" if error else "fine", flush=True)

    async with Store.open(path, on_trouble) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        for number in range(10_000):
            store.put(
                message(number), lambda error, number=number: failed.append(str(error)) if error else print(number)
            )
            await store.flush()
            if failed:
                break
        print(failed[0], flush=True)
        store.put(message(-1))
        store.remove(OUT, "0")
        try:
            await store.flush()
        except FameError as error:
            print(error, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        store.put(message(-2), lambda error: print("after", error))
        await store.flush()


if __name__ == "__main__":
    file = Path(sys.argv[1])
    asyncio.run(fill(file, int(sys.argv[2])) if len(sys.argv) > 2 else keep(file))
