"""``fame ca``: the fabric's own certificate authority, in the home folder, and the certificates it issues to nodes.

A node's certificate is for its signing key, the one in ``keys/<id>.json`` or the one of a request (CSR). It says where
the node is, and under which names its listener is reached by TLS. ``ca.key`` stays on the machine it was made on; all
that others need to check certificates is ``ca.pem``.
"""

import sys
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated

import typer

from fame_cli.cli import output
from fame_cli.cli.home import home_of, lifetime_s
from fame_cli.cli.options import DebugOption, FormatOption
from fame_cli.cli.output import OutputFormat
from fame_cli.core.address import is_node_id, is_node_path
from fame_cli.errors import ConfigError, UsageError
from fame_cli.security.files import PRIVATE, PUBLIC, make_folder, read_file, write_file
from fame_cli.security.issuing import CertificateAuthority, ServerNames, private_pem
from fame_cli.security.keystore import Home

__all__ = ["app"]

CERTIFICATE, KEY = "ca.pem", "ca.key"
"""Files of the authority in the home folder."""

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Issue certificates of nodes, for strict-overlay and TLS."
)


@app.command()
def init(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--name", help="Name of the fabric; stands in the certificate.")] = "fame.fabric",
    debug: DebugOption = False,
) -> None:
    """Make the fabric's certificate authority: ca.pem, for everybody, and ca.key, for nobody else."""
    home = home_of(ctx).root
    for file in (CERTIFICATE, KEY):
        if (home / file).exists():
            raise UsageError(
                f"{home / file} is there already", hint="see it with: fame ca show; remove both files to start anew"
            )
    if not 0 < len(name) <= 60:
        raise UsageError("a name has 1 to 60 characters", hint="e.g. --name fame.fabric")
    authority = CertificateAuthority.create(name, time.time())
    make_folder(home)
    write_file(home / KEY, authority.key_pem, PRIVATE)
    write_file(home / CERTIFICATE, authority.certificate_pem.encode(), PUBLIC)
    output.note(f"wrote {home / CERTIFICATE}; give it to every node that has to check certificates")
    output.note(f"wrote {home / KEY}; keep it")


@app.command()
def issue(
    ctx: typer.Context,
    node: Annotated[str, typer.Option("--node", metavar="ID", show_default=False, help="Id of the node.")],
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="PATH", show_default=False, help="Its physical path, e.g. /s1/math1; else /ID."),
    ] = None,
    dns: Annotated[
        list[str] | None,
        typer.Option("--dns", metavar="NAME", show_default=False, help="A host name its listener is reached by."),
    ] = None,
    ip: Annotated[
        list[str] | None,
        typer.Option("--ip", metavar="ADDRESS", show_default=False, help="An IP address its listener is reached by."),
    ] = None,
    ttl: Annotated[str, typer.Option("--ttl", metavar="TIME", help="How long it is valid, e.g. 30m, 24h, 7d.")] = "24h",
    csr: Annotated[
        str | None,
        typer.Option("--csr", metavar="FILE", show_default=False, help="A request with the node's key; - reads stdin."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", show_default=False, help="Write node.pem and node.key there."),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Issue a node's certificate, as PEM on stdout or as files.

    fame ca issue --node s1 --dns s1.example --out tls
    """
    home = home_of(ctx).root
    place = path or f"/{node}"
    if not is_node_id(node) or not is_node_path(place):
        raise UsageError(f"{place[:80]!r} can't be a node's path", hint="letters, digits, dots, dashes: /s1/math1")
    names = ServerNames(tuple(dns or ()), tuple(_address(each) for each in ip or ()))
    if place.rpartition("/")[2] != node:
        raise UsageError(f"{place} isn't a path of {node}", hint=f"a node's path ends in /{node}")
    authority, now, ttl_s = _authority(home), time.time(), lifetime_s(ttl, "--ttl")
    if ttl_s <= 0:
        raise UsageError("a certificate is valid for a second at least", hint="e.g. --ttl 24h")
    if csr is not None:
        chain = authority.answer(_request(csr), node, place, now, ttl_s, names)
        keys = None
    else:
        keys = Home(home).node_keys(node)
        chain = authority.issue(node, place, keys.signing.public_key(), now, ttl_s, names)
    if out is None:
        output.data(chain, end="")
        return
    make_folder(out, hint="choose another folder with --out")
    if keys is not None:
        write_file(out / "node.key", private_pem(keys.signing), PRIVATE)
        output.note(f"wrote {out / 'node.key'}")
    write_file(out / "node.pem", chain.encode(), PUBLIC)
    output.note(f"wrote {out / 'node.pem'}")


@app.command()
def show(ctx: typer.Context, form: FormatOption = OutputFormat.text, debug: DebugOption = False) -> None:
    """Show the fabric's certificate authority: its name, fingerprint and life."""
    home = home_of(ctx).root
    authority = _authority(home)
    facts = {
        "name": authority.name,
        "file": str(home / CERTIFICATE),
        "sha256": authority.fingerprint,
        "not_before": authority.certificate.not_valid_before_utc.isoformat(),
        "not_after": authority.certificate.not_valid_after_utc.isoformat(),
    }
    if form is not OutputFormat.text:
        output.result(facts, form)
        return
    for title, fact in facts.items():
        output.data(f"{title:12}{fact}")


def _authority(home: Path) -> CertificateAuthority:
    certificate, key = read_file(home / CERTIFICATE, PUBLIC), read_file(home / KEY, PRIVATE)
    if certificate is None or key is None:
        missing = home / (KEY if certificate is not None else CERTIFICATE)
        raise ConfigError("no such file", source=str(missing), hint="make an authority: fame ca init")
    return CertificateAuthority.load(certificate, key)


def _request(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    found = read_file(Path(file), PUBLIC)
    if found is None:
        raise UsageError(f"{file} isn't there", hint="make a request: openssl req -new -key KEY -subj / -out FILE")
    return found


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise UsageError(f"{text[:80]!r} isn't an IP address", hint="give host names with --dns") from error
