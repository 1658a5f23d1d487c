"""A tree with a short cut: start everything, then call up, down and across, and show the way of each call."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from stage import Stage, perform  # noqa: E402  it lies one folder up

PORTS = {"TREE_HEAD_PORT": 8020, "TREE_WEST_PORT": 8021, "TREE_EAST_PORT": 8022}


def play(stage: Stage) -> None:
    """Call in every direction a tree has."""
    at_head, at_west = stage.url("TREE_HEAD_PORT"), stage.url("TREE_WEST_PORT")
    stage.show("graph")
    stage.say("down: from the parent to an agent of each child")
    stage.call(f"call west-desk@fame.fabric greet --url {at_head}", way="client → head → west → west-desk")
    stage.call(f"call east-desk@fame.fabric greet --url {at_head}", way="client → head → east → east-desk")
    stage.say("up: from a child to the agent of its parent")
    stage.call(f"call head-desk@fame.fabric greet --url {at_west}", way="client → west → head → head-desk")
    stage.say("across: from child to child by the peer link, not by the parent")
    stage.call(f"call east-desk@fame.fabric greet --url {at_west}", way="client → west ↔ east → east-desk")
    stage.show(f"trace east-desk@fame.fabric --url {at_west}", says="west ↔ east")


if __name__ == "__main__":
    sys.exit(perform(HERE, PORTS, play))
