"""gRPC, client to worker: what a user has who gives up routing."""

from chain import Chain, Process
from environments import bench_python

from contenders.contender import Contender

__all__ = ["GRPC"]


def start(chain: Chain, python: str) -> Process:
    """Start both processes."""
    ends = (python, "-m", "contenders.grpc_ends")
    port = chain.start("worker", *ends, "worker", "0").wait_for("ready")
    return chain.start("client", *ends, "client", port, asked=True)


GRPC = Contender("grpc", bench_python, start, ("grpcio", "uvloop", "msgspec"))
