"""gRPC, client to worker: what a user has who gives up routing."""

from environments import bench_python
from stage import Process, Stage

from contenders.contender import Contender

__all__ = ["GRPC"]


def start(stage: Stage, python: str) -> Process:
    """Start both processes."""
    ends = (python, "-m", "contenders.grpc_ends")
    port = stage.start("worker", *ends, "worker", "0").wait_for("ready")
    return stage.start("client", *ends, "client", port, asked=True)


GRPC = Contender("grpc", bench_python, start, ("grpcio", "uvloop", "msgspec"))
