"""Ask for a capability instead of an address: the nearest provider answers, then the other one, then nobody."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from stage import Stage, perform  # noqa: E402  it lies one folder up

PORTS = {"CAPABILITIES_S1_PORT": 8030, "CAPABILITIES_S2_PORT": 8031}
CALL = "call --capability fame.capability.math add x=3 y=4"
NO_ROUTE = 5


def play(stage: Stage) -> None:
    """Call while the providers leave, one after the other."""
    stage.show("ls")
    stage.say("two providers: the nearer one answers")
    stage.show(CALL, says="says near")
    stage.say("the nearer one leaves: the other one answers")
    stage.stop("near")
    stage.show(CALL, says="says far")
    stage.call(CALL, way="s1 ↔ s2 → ")
    stage.say("that one leaves, too: nobody answers, and the call says so at once")
    stage.stop("far")
    stage.show(CALL, code=NO_ROUTE)
    stage.show("ls")


if __name__ == "__main__":
    sys.exit(perform(HERE, PORTS, play))
