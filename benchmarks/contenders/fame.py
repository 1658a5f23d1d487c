"""The chain of `fame`: two `fame sentinel`, one `fame agent`, and a client process with the public `Client`."""

from collections.abc import Mapping
from functools import partial

from chain import Chain, Process, free_port
from environments import our_python, picows_python

from contenders.contender import Contender

__all__ = ["FAME", "FAME_PICOWS", "secured_fame", "start_fabric"]

ATTACH = "fame/v1/attach/ws"
READY = "node_ready"
DISTRIBUTIONS = ("msgspec", "uvloop", "websockets", "picows")


def start_fabric(chain: Chain, python: str, env: Mapping[str, str] | None = None, profile: str = "open") -> str:
    """Start two sentinels and the agent at the second; return the URL where clients attach to the first."""
    first, second = free_port(), free_port()
    fame = [python, "-P", "-m", "fame_cli"]
    configs: dict[str, dict[str, object]] = {
        "router 1": {"kind": "sentinel", "id": "s1", "listen": f"127.0.0.1:{first}"},
        "router 2": {
            "kind": "sentinel",
            "id": "s2",
            "listen": f"127.0.0.1:{second}",
            "peers": [{"direct_url": f"ws://127.0.0.1:{first}/{ATTACH}/peer"}],
        },
        "worker": {
            "kind": "agent",
            "id": "bench-worker",
            "upstream": {"direct_url": f"ws://127.0.0.1:{second}/{ATTACH}/downstream"},
            "agent": {"import": "contenders.fame_agent:BenchAgent", "address": "bench@fame.fabric"},
        },
    }
    nodes = []
    for role, config in configs.items():
        content = {**config, "security": {"profile": profile}}
        path = chain.write(f"{role.replace(' ', '')}.yaml", content)  # JSON is YAML
        command = (*fame, str(config["kind"]), "--config", path, "--log-format", "json")
        nodes.append(chain.start(role, *command, env=env))
    for node in nodes:
        node.wait_for(READY)
    return f"ws://127.0.0.1:{first}/{ATTACH}/downstream"


def secrets(chain: Chain, python: str, profile: str) -> dict[str, str]:
    """Make the authorities of a fabric for this chain alone; return the variables that make nodes use them."""
    env = {"FAME_HOME": str(chain.folder / "home"), "FAME_SECURITY_PROFILE": profile}
    for what in ("keys", "ca"):
        chain.run(what, python, "-P", "-m", "fame_cli", what, "init", env=env)
    return env


def start(chain: Chain, python: str, profile: str = "open") -> Process:
    """Start all four processes; in another profile than ``open`` each issues itself a grant of one authority."""
    env = {} if profile == "open" else secrets(chain, python, profile)
    url = start_fabric(chain, python, env, profile)
    return chain.start("client", python, "-m", "contenders.fame_ends", url, asked=True, env=env)


def secured_fame(profile: str, transport: str = "websockets") -> Contender:
    """Return the chain in a profile."""
    name = "fame-picows" if transport == "picows" else "fame"
    python = picows_python if transport == "picows" else our_python
    return Contender(name, python, partial(start, profile=profile), DISTRIBUTIONS, env={"FAME_TRANSPORT": transport})


FAME = secured_fame("open")
FAME_PICOWS = secured_fame("open", "picows")
