"""The client and the worker of the NATS chain: `python -m contenders.nats_ends {client|worker} URL`.

nats-py as fast as it goes honestly: on uvloop, one inbox for all answers (its own default), callbacks for what arrives,
subjects not looked at again before each publish where that can be chosen.
"""

import asyncio
import inspect
import sys

import nats
from load import WrongAnswer, run, serve
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg

from contenders import messages

ANSWER_S = 20.0
PENDING_BYTES = 512 * 1024 * 1024
"""What may wait for a subscriber's callback: a whole stream, so that nothing is thrown away."""


async def connect(url: str) -> Connection:
    """Connect to one server, and to no other if that one goes."""
    if "skip_subject_validation" in inspect.signature(Connection.connect).parameters:
        return await nats.connect(url, allow_reconnect=False, skip_subject_validation=True)
    return await nats.connect(url, allow_reconnect=False)


class NatsEnds:
    """Request, and subscribe."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def call(self) -> None:
        """Ask the worker to add."""
        answer = await self.connection.request("bench.add", messages.request(), timeout=ANSWER_S)
        messages.check(answer.data)

    async def stream(self, count: int, item_bytes: int) -> None:
        """Subscribe to a subject of its own and ask the worker to publish there."""
        done = asyncio.get_running_loop().create_future()
        number = 0

        async def arrived(message: Msg) -> None:
            nonlocal number
            try:
                messages.check_item(message.data, number, item_bytes)
            except WrongAnswer as error:
                if not done.done():
                    done.set_exception(error)
            number += 1
            if number == count and not done.done():
                done.set_result(None)

        subject = self.connection.new_inbox()
        subscription = await self.connection.subscribe(subject, cb=arrived, pending_bytes_limit=PENDING_BYTES)
        try:
            await self.connection.publish("bench.stream", messages.request_for_stream(count, item_bytes), subject)
            await done
        finally:
            await subscription.unsubscribe()


async def client(url: str) -> None:
    """Connect and do what stdin says."""
    connection = await connect(url)
    try:
        await serve(NatsEnds(connection))
    finally:
        await connection.close()


async def worker(url: str) -> None:
    """Answer and publish until killed."""
    connection = await connect(url)

    async def add(message: Msg) -> None:
        await message.respond(messages.answer_to(message.data))

    async def stream(message: Msg) -> None:
        for item in messages.stream_asked_for(message.data):
            await connection.publish(message.reply, item)
        await connection.flush(ANSWER_S)

    await connection.subscribe("bench.add", cb=add)
    await connection.subscribe("bench.stream", cb=stream)
    await connection.flush()
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    run({"client": client, "worker": worker}[sys.argv[1]](sys.argv[2]))
