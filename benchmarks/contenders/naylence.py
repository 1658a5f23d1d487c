"""The chain of Naylence: sentinels, an agent and a client, all of the original kit."""

from collections.abc import Mapping
from functools import partial

from chain import Chain, Process, free_port
from environments import ROOT, naylence_python

from contenders.contender import Contender

__all__ = ["NAYLENCE", "secured_naylence", "start_fabric"]

ATTACH = "fame/v1/attach/ws"
SENTINEL = str(ROOT / "tests" / "interop" / "naylence" / "sentinel.py")
AUDIENCE, CLIENT_ID, CLIENT_SECRET = "fame.fabric", "bench", "of-this-run-alone"
DISTRIBUTIONS = ("naylence-agent-sdk", "websockets")


def start_fabric(chain: Chain, python: str, env: Mapping[str, str] | None = None, sentinels: int = 2) -> str:
    """Start one sentinel or two in a row, and the agent at the last; return where clients attach to the first.

    Two are peers, but in the profile ``overlay`` the second is a child of the first: there the kit's sentinels don't
    get to be peers, because the one that dials signs its NodeAttach with a key that the other learns from that frame.

    Args:
        env: variables that say how all of them are secured.
    """
    env = env or {}
    first, second = free_port(), free_port()
    kind, option = ("downstream", "--upstream") if env.get("FAME_SECURITY_PROFILE") == "overlay" else ("peer", "--peer")
    above = f"ws://127.0.0.1:{first}/{ATTACH}/{kind}"
    chain.start("router 1", python, SENTINEL, "--port", str(first), "--id", "nl1", env=env).wait_for("READY")
    last = first
    if sentinels > 1:
        command = (python, SENTINEL, "--port", str(second), "--id", "nl2", option, above)
        chain.start("router 2", *command, env=env).wait_for("READY")
        last = second
    url = f"ws://127.0.0.1:{last}/{ATTACH}/downstream"
    chain.start("worker", python, "-m", "contenders.naylence_ends", "worker", url, env=env).wait_for("ready")
    return f"ws://127.0.0.1:{first}/{ATTACH}/downstream"


def token_server(chain: Chain, python: str, profile: str) -> dict[str, str]:
    """Start the kit's development token server; return the variables that make nodes use it."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    client = {"FAME_JWT_CLIENT_ID": CLIENT_ID, "FAME_JWT_CLIENT_SECRET": CLIENT_SECRET}
    serving = {"APP_HOST": "127.0.0.1", "APP_PORT": str(port), "FAME_JWT_ISSUER": issuer, "FAME_LOG_LEVEL": "error"}
    server = ("-m", "naylence.fame.fastapi.oauth2_server")
    env = {**serving, **client, "FAME_JWT_AUDIENCE": AUDIENCE}
    chain.start("token server", python, *server, env=env).wait_for("Uvicorn running")
    return {
        "FAME_SECURITY_PROFILE": profile,
        "FAME_ADMISSION_PROFILE": "direct",
        "FAME_ADMISSION_TOKEN_URL": f"{issuer}/oauth/token",
        "FAME_ADMISSION_CLIENT_ID": CLIENT_ID,
        "FAME_ADMISSION_CLIENT_SECRET": CLIENT_SECRET,
        "FAME_JWT_AUDIENCE": AUDIENCE,
        "FAME_JWT_TRUSTED_ISSUER": issuer,
    }


def start(chain: Chain, python: str, profile: str = "open", sentinels: int = 2) -> Process:
    """Start all processes; in another profile than ``open`` a token server comes first."""
    env = {} if profile == "open" else token_server(chain, python, profile)
    url = start_fabric(chain, python, env, sentinels)
    return chain.start("client", python, "-m", "contenders.naylence_ends", "client", url, asked=True, env=env)


def secured_naylence(profile: str, sentinels: int = 2) -> Contender:
    """Return the chain in a profile."""
    begin = partial(start, profile=profile, sentinels=sentinels)
    return Contender("naylence", naylence_python, begin, DISTRIBUTIONS, share=0.02, limit_s=20.0)


NAYLENCE = secured_naylence("open")
