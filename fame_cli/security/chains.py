"""A node's own certificates, and whose it believes: from files, or from the authority in its home folder."""

from collections.abc import Callable

from fame_cli.errors import ConfigError
from fame_cli.security.certificates import CertificateRefused, anchors_in, chain_to_x5c
from fame_cli.security.files import PRIVATE, PUBLIC, read_file
from fame_cli.security.issuing import CertificateAuthority
from fame_cli.security.jwk import NodeKeys
from fame_cli.security.settings import SecuritySettings

__all__ = ["Chains"]


class Chains:
    """Know the authorities, and give this node's key a certificate for each place it is at.

    Args:
        settings: of the node.
        keys: its own.
        clock: seconds since the epoch.

    Raises:
        ConfigError: there is no authority to check others by, or no certificate to show and none to issue one.
    """

    def __init__(self, settings: SecuritySettings, keys: NodeKeys, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock
        home = settings.home
        pem = read_file(settings.tls.authorities, PUBLIC) if settings.tls.authorities is not None else None
        if pem is None and home is not None:
            pem = read_file(home / "ca.pem", PUBLIC)
        if pem is None:
            hint = "run fame ca init, or name security.tls.authorities"
            raise ConfigError("profile strict-overlay: nobody's certificates are believed", hint=hint)
        self.anchors = anchors_in(pem)
        key = read_file(home / "ca.key", PRIVATE) if home is not None else None
        self._authority = CertificateAuthority.load(pem, key) if key is not None else None
        told = read_file(settings.tls.certificate, PUBLIC) if settings.tls.certificate is not None else None
        self._told = chain_to_x5c(told.decode("ascii", "replace")) if told is not None else []
        if self._authority is None and not self._told:
            hint = "set security.tls.certificate and key (fame ca issue), or use the home folder that has ca.key"
            raise ConfigError("profile strict-overlay: this node has no certificate", hint=hint)

    def certify(self, path: str) -> list[str]:
        """Return the certificates of the node's key at a path, DER in base64, leaf first; [] if there are none."""
        if self._authority is None:
            return self._told
        try:
            node_id = path.rpartition("/")[2]
            chain = self._authority.issue(node_id, path, self._keys.signing.public_key(), self._clock())
        except CertificateRefused:
            return self._told
        return chain_to_x5c(chain)
