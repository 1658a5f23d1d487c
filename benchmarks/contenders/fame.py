"""The chain of `fame`: two `fame sentinel`, one `fame agent`, and a client process with the public `Client`."""

from chain import Chain, Process, free_port
from environments import our_python, picows_python

from contenders.contender import Contender

__all__ = ["FAME", "FAME_PICOWS", "start_fabric"]

ATTACH = "fame/v1/attach/ws"
OPEN = {"profile": "open"}
READY = "node_ready"
DISTRIBUTIONS = ("msgspec", "uvloop", "websockets", "picows")


def start_fabric(chain: Chain, python: str) -> str:
    """Start two sentinels and the agent at the second; return the URL where clients attach to the first."""
    first, second = free_port(), free_port()
    fame = [python, "-P", "-m", "fame_cli"]
    configs: dict[str, dict[str, object]] = {
        "router 1": {"kind": "sentinel", "id": "s1", "listen": f"127.0.0.1:{first}", "security": OPEN},
        "router 2": {
            "kind": "sentinel",
            "id": "s2",
            "listen": f"127.0.0.1:{second}",
            "peers": [{"direct_url": f"ws://127.0.0.1:{first}/{ATTACH}/peer"}],
            "security": OPEN,
        },
        "worker": {
            "kind": "agent",
            "id": "bench-worker",
            "upstream": {"direct_url": f"ws://127.0.0.1:{second}/{ATTACH}/downstream"},
            "agent": {"import": "contenders.fame_agent:BenchAgent", "address": "bench@fame.fabric"},
            "security": OPEN,
        },
    }
    nodes = []
    for role, config in configs.items():
        path = chain.write(f"{role.replace(' ', '')}.yaml", config)  # JSON is YAML
        nodes.append(chain.start(role, *fame, str(config["kind"]), "--config", path, "--log-format", "json"))
    for node in nodes:
        node.wait_for(READY)
    return f"ws://127.0.0.1:{first}/{ATTACH}/downstream"


def start(chain: Chain, python: str) -> Process:
    """Start all four processes."""
    url = start_fabric(chain, python)
    return chain.start("client", python, "-m", "contenders.fame_ends", url, asked=True)


FAME = Contender("fame", our_python, start, DISTRIBUTIONS, env={"FAME_TRANSPORT": "websockets"})
FAME_PICOWS = Contender("fame-picows", picows_python, start, DISTRIBUTIONS, env={"FAME_TRANSPORT": "picows"})
