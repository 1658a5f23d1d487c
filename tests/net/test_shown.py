"""What a dialler shows arrives with whoever listens, whichever libraries the two of them use."""

import asyncio

import pytest

from fame_cli.net.answer import Asked, Page, Route, Shown
from fame_cli.net.choice import network
from fame_cli.net.pump import Turn
from fame_cli.net.transport import Transport

NAMES = ("websockets", "picows")
TOKEN, PROOF = "aaa.bbb.c-c_c", "ddd.eee.fff"


@pytest.mark.parametrize("listens", NAMES)
@pytest.mark.parametrize("dials", NAMES)
@pytest.mark.parametrize("shown", [Shown(), Shown(TOKEN), Shown(TOKEN, PROOF)])
def test_a_token_and_its_proof_arrive_as_they_were_shown(listens: str, dials: str, shown: Shown) -> None:
    heard: list[Asked] = []

    def answer(asked: Asked) -> Page | Route:
        heard.append(asked)
        return Route("downstream", "x", asked)

    async def main() -> None:
        def accept(transport: Transport, route: Route) -> None:
            transport.close(1000, "")

        server = await network(listens).listen("127.0.0.1", 0, Turn(), answer, accept)
        try:
            port = next(iter(server.sockets)).getsockname()[1]
            transport = await network(dials).dial(f"ws://127.0.0.1:{port}/x", Turn(), shown)
            transport.close(1000, "")
            await transport.wait_closed()
        finally:
            server.close()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert [(asked.token, asked.proof) for asked in heard] == [(shown.token, shown.proof)]
