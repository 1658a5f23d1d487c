"""Run one real Naylence sentinel: `sentinel.py --port P --id ID [--peer URL]`.

A script for an interpreter that has `naylence-agent-sdk` installed; the interop tests start it as a process. It never
imports our own package. It prints `READY <id>` on stdout when its listener and, if asked for, its peer link are up.
"""

import argparse
import asyncio
import os
import signal

import node_security


def arguments() -> argparse.Namespace:
    """Read the command line; every value can also come from the environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=int(os.environ.get("INTEROP_PORT", "8000")))
    parser.add_argument("--id", default=os.environ.get("INTEROP_ID", f"nl-sentinel-{os.getpid()}"))
    parser.add_argument("--peer", default=os.environ.get("INTEROP_PEER_URL"))
    parser.add_argument("--upstream", default=os.environ.get("INTEROP_UPSTREAM_URL"))
    return parser.parse_args()


def root_config(args: argparse.Namespace) -> dict[str, object]:
    """Build the node configuration: one WebSocket listener on the loopback address."""
    node: dict[str, object] = {
        "type": "Sentinel",
        "id": args.id,
        "listeners": [{"type": "WebSocketListener", "host": "127.0.0.1", "port": args.port}],
        "security": node_security.security(),
        "admission": node_security.admission() if args.upstream else {"type": "AdmissionProfile", "profile": "none"},
        "delivery": {"type": "DeliveryProfile", "profile": "at-most-once"},
    }
    if args.peer:
        node["peers"] = [node_security.peer(args.peer)]
    return {"node": node}


async def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    args = arguments()
    if args.upstream:
        os.environ["FAME_DIRECT_ADMISSION_URL"] = args.upstream
    from naylence.fame.core import FameFabric  # after the environment, which it reads when imported
    from naylence.fame.util.logging import enable_logging

    enable_logging(log_level=os.environ.get("INTEROP_LOG_LEVEL", "warning"))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FameFabric.create(root_config=root_config(args)):
        print(f"READY {args.id}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
