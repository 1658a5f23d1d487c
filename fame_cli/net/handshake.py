"""What a handshake carries beside its path: a token, the proof that it is its holder's, a certificate.

Read here off a request, whichever library parsed it, and laid out here for one. Nothing is verified, and nothing that
is secret has a repr.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple

from fame_cli.errors import ConfigError

__all__ = [
    "BEARER",
    "HEADER_BYTES",
    "PROTOCOLS",
    "REQUEST_BYTES",
    "TLS_TIMEOUT_S",
    "Asked",
    "Shown",
    "asked",
    "bearer",
    "offers_bearer",
]

TLS_TIMEOUT_S = 5.0
"""Seconds for the handshake of TLS, before that of WebSocket."""

HEADER_BYTES = 8 * 1024
"""Longest header with a credential, name and line break included: what most HTTP servers take."""

REQUEST_BYTES = 16 * 1024
"""Longest request, all headers together."""

PROTOCOLS, AUTHORIZATION, PROOF = "Sec-WebSocket-Protocol", "Authorization", "DPoP"
BEARER = "bearer"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of HTTP (RFC 9110, 5.6.2), as each of a list of subprotocols has to be; every JWT is one."""


class Asked(NamedTuple):
    """Hold a request before there is a link.

    Args:
        path: with what follows a ``?``.
        token: what was shown: behind ``bearer`` among the subprotocols, or in the header Authorization; "" for none.
        proof: the header DPoP (RFC 9449), "" for none.
        host: IP address it came from, "" where there is none.
        certificate: DER of the dialler's, which TLS has verified; empty where it showed none.
    """

    path: str
    token: str = ""
    proof: str = ""
    host: str = ""
    certificate: bytes = b""

    @property
    def network(self) -> str:
        """What counts as one host: an IPv4 address, or the 64 bits of an IPv6 one that a site is given."""
        try:
            address = ip_address(self.host.partition("%")[0])
        except ValueError:
            return self.host
        if not isinstance(address, IPv6Address):
            return str(address)
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))

    def __repr__(self) -> str:
        return f"<Asked {self.path} from {self.host or '?'}>"


class Shown(NamedTuple):
    """Hold what a dialler shows, "" for nothing.

    Args:
        token: goes behind ``bearer`` among the subprotocols (security.md 3.1).
        proof: that the token is the dialler's own, for the header DPoP (RFC 9449).
        tls: whom to believe and which certificate to show, for ``wss://``; None for the system's authorities.
    """

    token: str = ""
    proof: str = ""
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"<Shown {'a token' if self.token else 'no token'}>"

    @property
    def offer(self) -> list[str]:
        """The subprotocols that carry the token, empty for none.

        Raises:
            ConfigError: the token can't stand in a header.
        """
        return [BEARER, _checked(self.token)] if self.token else []

    @property
    def headers(self) -> dict[str, str]:
        """The headers for what isn't among the subprotocols.

        Raises:
            ConfigError: the proof can't stand in a header.
        """
        return {PROOF: _checked(self.proof)} if self.proof else {}


def _checked(value: str) -> str:
    if len(value) > HEADER_BYTES - len(f"{PROTOCOLS}: {BEARER}, \r\n"):
        why = f"it has {len(value)} characters, and a header holds {HEADER_BYTES}"
    elif not _TOKEN.fullmatch(value):
        why = "it has blanks or other characters that a header can't hold"
    else:
        return value
    raise ConfigError(f"this node's token can't be sent: {why}", hint="check FAME_ADMISSION_TOKEN or the token's file")


def asked(path: str, values: Callable[[str], Sequence[str]], transport: asyncio.BaseTransport) -> Asked | None:
    """Return what a request carries; None where a header is too long.

    Args:
        path: of the request, with what follows a ``?``.
        values: returns the values of all headers of a name.
        transport: the connection it came by.
    """
    protocols, authorization, proof = (",".join(values(name)) for name in (PROTOCOLS, AUTHORIZATION, PROOF))
    if max(len(protocols), len(authorization), len(proof)) > HEADER_BYTES:
        return None
    peer, tls = transport.get_extra_info("peername"), transport.get_extra_info("ssl_object")
    host = str(peer[0]) if isinstance(peer, tuple) else ""
    certificate = (tls.getpeercert(binary_form=True) if tls is not None else None) or b""
    return Asked(path, bearer(protocols, authorization), proof, host, certificate)


def bearer(protocols: str, authorization: str) -> str:
    """Return the token of a request, "" for none.

    Args:
        protocols: Sec-WebSocket-Protocol: ``bearer, <token>`` (security.md 3.1).
        authorization: Authorization: ``Bearer <token>`` (RFC 6750, 2.1).
    """
    first, *others = [each.strip() for each in protocols.split(",")]
    if first == BEARER and others and others[0]:
        return others[0]
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == BEARER else ""


def offers_bearer(values: Callable[[str], Sequence[str]]) -> bool:
    """Tell whether ``bearer`` is what a request would have first; only then is it answered."""
    return ",".join(values(PROTOCOLS)).partition(",")[0].strip() == BEARER
