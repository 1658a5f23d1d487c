"""The first sentinel: it listens, and waits for whoever attaches."""

from common import SENTINEL1, listen

from fame_cli import Sentinel

if __name__ == "__main__":
    Sentinel(id="peer-sentinel1", listen=listen(SENTINEL1)).run()
