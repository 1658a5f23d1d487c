"""The whole example from start to stop: start four nodes, call them from a fifth, show the way each call took.

It takes the ports 8000 and 8001, or free ones if somebody has these, keeps its state in a folder of its own, and stops
what it has started however it ends.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from stage import Stage, perform  # noqa: E402  it lies one folder up

PORTS = {"PEER_SENTINEL1_PORT": 8000, "PEER_SENTINEL2_PORT": 8001}
CALLS = (
    "call math1@fame.fabric add x=3 y=4",
    "call math1@fame.fabric multiply x=6 y=7",
    "call math2@fame.fabric add x=3 y=4",
    "stream math2@fame.fabric fib_stream n=10",
    "stream fib_stream",
)


def play(stage: Stage) -> None:
    """Call near and far."""
    for line in CALLS:
        stage.call(line)


if __name__ == "__main__":
    sys.exit(perform(HERE, PORTS, play, verdict="all {count} calls answered"))
