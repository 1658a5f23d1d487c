"""The chain of Naylence: two sentinels, an agent and a client, all of the original kit."""

from chain import Chain, Process, free_port
from environments import ROOT, naylence_python

from contenders.contender import Contender

__all__ = ["NAYLENCE", "start_fabric"]

ATTACH = "fame/v1/attach/ws"
SENTINEL = str(ROOT / "tests" / "interop" / "naylence" / "sentinel.py")


def start_fabric(chain: Chain, python: str) -> str:
    """Start two sentinels and the agent at the second; return the URL where clients attach to the first."""
    first, second = free_port(), free_port()
    peer = f"ws://127.0.0.1:{first}/{ATTACH}/peer"
    chain.start("router 1", python, SENTINEL, "--port", str(first), "--id", "nl1").wait_for("READY")
    router = chain.start("router 2", python, SENTINEL, "--port", str(second), "--id", "nl2", "--peer", peer)
    router.wait_for("READY")
    url = f"ws://127.0.0.1:{second}/{ATTACH}/downstream"
    chain.start("worker", python, "-m", "contenders.naylence_ends", "worker", url).wait_for("ready")
    return f"ws://127.0.0.1:{first}/{ATTACH}/downstream"


def start(chain: Chain, python: str) -> Process:
    """Start all four processes."""
    url = start_fabric(chain, python)
    return chain.start("client", python, "-m", "contenders.naylence_ends", "client", url, asked=True)


NAYLENCE = Contender("naylence", naylence_python, start, ("naylence-agent-sdk", "websockets"), share=0.02, limit_s=20.0)
