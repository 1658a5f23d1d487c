"""A ring loses a link and gets it back: start everything, call, cut the link the calls take, call again, mend it.

The link between s1 and s2 runs through a relay in this program, so that it can be cut while both sentinels live.
"""

import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from stage import Stage, perform  # noqa: E402  it lies one folder up

PORTS = {"MESH_S1_PORT": 8010, "MESH_S2_PORT": 8011, "MESH_S3_PORT": 8012}
SHORT = "client → s1 ↔ s2 → "
LONG = "client → s1 ↔ s3 ↔ s2 → "


class Cable:
    """Relay TCP connections to a sentinel, unless the plug is pulled: then there are none."""

    def __init__(self) -> None:
        self._to_port = 0
        self._is_plugged = True
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def lay(self, stage: Stage) -> None:
        """Lead to s1, and have s2 dial this end."""
        self._to_port = stage.ports["MESH_S1_PORT"]
        stage.env["MESH_CABLE_PORT"] = str(self.port)

    def pull(self) -> None:
        """End all connections and take no more."""
        self._is_plugged = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # both pumps read an end now
        self._ends.clear()

    def plug(self) -> None:
        """Take connections again."""
        self._is_plugged = True

    def _serve(self) -> None:
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._to_port if self._is_plugged else 0))
            except OSError:
                near.close()
                continue
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def play(stage: Stage, cable: Cable) -> None:
    """Show the ring whole, cut, and whole again."""
    stage.show("graph")
    stage.call("call one@fame.fabric where")
    stage.call("call three@fame.fabric where")
    stage.call("call two@fame.fabric where", way=SHORT)
    stage.show("trace two@fame.fabric", says=SHORT)

    stage.say("the link between s1 and s2 is cut; both sentinels live on")
    cable.pull()
    stage.call("call two@fame.fabric where", way=LONG)
    stage.show("trace two@fame.fabric", says=LONG)
    stage.show("graph")

    stage.say("the link is mended; s2 dials again by itself")
    cable.plug()
    stage.call("call two@fame.fabric where", way=SHORT, patient=True)


def main() -> int:
    """Play with a cable between s1 and s2."""
    cable = Cable()
    return perform(HERE, PORTS, lambda stage: play(stage, cable), before_up=cable.lay)


if __name__ == "__main__":
    sys.exit(main())
