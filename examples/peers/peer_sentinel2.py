"""The second sentinel: it listens too, and makes a peer link to the first, now or as soon as that is up."""

from common import SENTINEL1, SENTINEL2, listen, peer_url

from fame_cli import Sentinel

if __name__ == "__main__":
    Sentinel(id="peer-sentinel2", listen=listen(SENTINEL2), peers=[peer_url(SENTINEL1)]).run()
