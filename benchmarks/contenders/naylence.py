"""The chain of Naylence: two sentinels, an agent and a client, all of the original kit."""

from environments import ROOT, naylence_python
from stage import Process, Stage, free_port

from contenders.contender import Contender

__all__ = ["NAYLENCE", "start_fabric"]

ATTACH = "fame/v1/attach/ws"
SENTINEL = str(ROOT / "tests" / "interop" / "naylence" / "sentinel.py")


def start_fabric(stage: Stage, python: str) -> str:
    """Start two sentinels and the agent at the second; return the URL where clients attach to the first."""
    first, second = free_port(), free_port()
    peer = f"ws://127.0.0.1:{first}/{ATTACH}/peer"
    stage.start("router 1", python, SENTINEL, "--port", str(first), "--id", "nl1").wait_for("READY")
    router = stage.start("router 2", python, SENTINEL, "--port", str(second), "--id", "nl2", "--peer", peer)
    router.wait_for("READY")
    url = f"ws://127.0.0.1:{second}/{ATTACH}/downstream"
    stage.start("worker", python, "-m", "contenders.naylence_ends", "worker", url).wait_for("ready")
    return f"ws://127.0.0.1:{first}/{ATTACH}/downstream"


def start(stage: Stage, python: str) -> Process:
    """Start all four processes."""
    url = start_fabric(stage, python)
    return stage.start("client", python, "-m", "contenders.naylence_ends", "client", url, asked=True)


NAYLENCE = Contender("naylence", naylence_python, start, ("naylence-agent-sdk", "websockets"), share=0.02, limit_s=20.0)
