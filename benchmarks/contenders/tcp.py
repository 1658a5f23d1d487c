"""The chain of bare TCP relays: the floor for four Python processes."""

from chain import Chain, Process
from environments import our_python

from contenders.contender import Contender

__all__ = ["TCP"]


def start(chain: Chain, python: str) -> Process:
    """Start all four processes, from the worker on."""
    ends = (python, "-m", "contenders.tcp_ends")
    port = chain.start("worker", *ends, "worker", "0").wait_for("ready")
    for role in ("router 2", "router 1"):
        port = chain.start(role, *ends, "relay", port).wait_for("ready")
    return chain.start("client", *ends, "client", port, asked=True)


TCP = Contender("tcp", our_python, start, ("uvloop", "msgspec"))
