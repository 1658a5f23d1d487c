"""Drive one real Naylence client: `client.py --url URL [STEP …]`, or one STEP a line on stdin.

A script for an interpreter that has `naylence-agent-sdk` installed; the interop tests start it as a process. It never
imports our own package. A STEP is a JSON object:

    {"do": "call" | "stream", "to": ADDRESS or "capabilities": [C, …], "method": M, "params": {…}}
    with "take": N, a stream is closed after N items
    {"do": "send", "to": ADDRESS, "payload": P}
    {"do": "idle", "seconds": S}
    {"do": "task", "to": ADDRESS, "method": M, "id": I, "payload": P}, M as in `perform_task`

It prints `READY <id>` when attached, then one JSON line a step: {"ok": true, "result": …} for a call,
{"ok": true, "items": […]} for a stream, {"ok": true, "result": …} for a message, with its DeliveryAck or, where none is
due, null; {"ok": false, "error": TEXT} for a failure; always with `seconds` taken.
Steps run in order, or all at once where they come as one JSON list.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any


def arguments() -> argparse.Namespace:
    """Read the command line; every value can also come from the environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default=os.environ.get("FAME_DIRECT_ADMISSION_URL"))
    parser.add_argument("--delivery", default="at-most-once", choices=["at-most-once", "at-least-once"])
    parser.add_argument("--id", default=os.environ.get("INTEROP_ID", f"nl-client-{os.getpid()}"))
    parser.add_argument("steps", nargs="*")
    return parser.parse_args()


ARGS = arguments()
if ARGS.url:
    os.environ["FAME_DIRECT_ADMISSION_URL"] = ARGS.url

import node_security  # noqa: E402
from naylence.agent import Agent  # noqa: E402  (after the environment, which it reads when imported)
from naylence.agent.a2a_types import (  # noqa: E402
    PushNotificationConfig,
    TaskIdParams,
    TaskPushNotificationConfig,
    TaskQueryParams,
)
from naylence.agent.util import make_task_params  # noqa: E402
from naylence.fame.core import FameFabric  # noqa: E402
from naylence.fame.util.logging import enable_logging  # noqa: E402


def proxy_of(step: dict[str, Any]) -> Any:
    """Make the remote handle of a step: by capabilities if it names some, else by address."""
    if "capabilities" in step:
        return Agent.remote_by_capabilities(step["capabilities"])
    return Agent.remote_by_address(step["to"])


async def perform(step: dict[str, Any]) -> dict[str, Any]:
    """Run one step and describe what came of it."""
    if step["do"] == "idle":
        await asyncio.sleep(step["seconds"])
        return {}
    if step["do"] == "send":
        told = await FameFabric.current().send_message(step["to"], step["payload"])
        return {"result": told.model_dump(mode="json", by_alias=True) if told is not None else None}
    if step["do"] == "task":
        return await perform_task(proxy_of(step), step)
    method = getattr(proxy_of(step), step["method"])
    params = step.get("params", {})
    if step["do"] == "call":
        return {"result": await method(**params)}
    items: list[Any] = []
    async with aclosing(await method(_stream=True, **params)) as stream:
        async for item in stream:
            items.append(item)
            if len(items) == step.get("take"):
                break
    return {"items": items}


async def perform_task(proxy: Any, step: dict[str, Any]) -> dict[str, Any]:
    """Do something about a task with the kit's own verbs."""
    task_id, payload = step["id"], step.get("payload")
    match step["method"]:
        case "run":
            return {"result": await proxy.run_task(payload, task_id)}
        case "start":
            return {"result": (await proxy.start_task(id=task_id, payload=payload)).model_dump(mode="json")}
        case "get":
            return {"result": (await proxy.get_task_status(TaskQueryParams(id=task_id))).model_dump(mode="json")}
        case "cancel":
            return {"result": (await proxy.cancel_task(TaskIdParams(id=task_id))).model_dump(mode="json")}
        case "push":
            config = PushNotificationConfig(url="http://127.0.0.1:9/none")
            asked = TaskPushNotificationConfig(id=task_id, pushNotificationConfig=config)
            return {"result": await proxy.register_push_endpoint(asked)}
    events = await proxy.subscribe_to_task_updates(make_task_params(id=task_id, payload=payload))
    return {"items": [event.model_dump(mode="json") async for event in events]}


async def report(step: dict[str, Any]) -> None:
    """Run one step and print its one line."""
    started = time.monotonic()
    try:
        outcome: dict[str, Any] = {"ok": True, **await perform(step)}
    except Exception as error:  # the boundary: whatever the kit raises is the outcome the test asks about
        outcome = {"ok": False, "error": str(error), "kind": type(error).__name__}
    outcome["seconds"] = round(time.monotonic() - started, 4)
    if "name" in step:
        outcome["name"] = step["name"]
    print(json.dumps(outcome, default=str), flush=True)


async def steps() -> AsyncIterator[Any]:
    """Yield the steps of the command line, else those of stdin, line by line as they come."""
    if ARGS.steps:
        for text in ARGS.steps:
            yield json.loads(text)
        return
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip():
            yield json.loads(line)


async def main() -> None:
    """Attach, run every step, detach."""
    enable_logging(log_level=os.environ.get("INTEROP_LOG_LEVEL", "warning"))
    config = {
        "node": {
            "id": ARGS.id,
            "security": node_security.security(),
            "admission": node_security.admission(),
            "delivery": {"type": "DeliveryProfile", "profile": ARGS.delivery},
        }
    }
    async with FameFabric.create(root_config=config):
        print(f"READY {ARGS.id}", flush=True)
        async for step in steps():
            await asyncio.gather(*(report(one) for one in (step if isinstance(step, list) else [step])))


if __name__ == "__main__":
    asyncio.run(main())
