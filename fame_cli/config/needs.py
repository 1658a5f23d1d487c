"""What a config needs beside itself: the files that its security names, and that they are what they are meant to be.

``fame config check`` asks for it; loading a config doesn't, because it may be meant for another machine. This is the
one place below the commands where security's files are read before a node is started.
"""

import os
from collections.abc import Iterator

from fame_cli.config.document import Table
from fame_cli.config.fabric import FabricConfig
from fame_cli.config.load import AnyConfig
from fame_cli.config.schema import AgentConfig, ClientConfig, NodeConfig, SentinelConfig
from fame_cli.config.security_fields import located
from fame_cli.config.validate import dotted, mark_at, quoted
from fame_cli.errors import ConfigError
from fame_cli.node.imports import missing_module
from fame_cli.security.files import open_regular
from fame_cli.security.settings import SecuritySettings

__all__ = ["amiss", "files_of", "missing_files", "unmet"]

_Path = tuple[str | int, ...]


def unmet(config: AnyConfig, tree: Table) -> list[ConfigError]:
    """Return what a node would miss or take amiss at its start, as far as that can be told from here.

    Args:
        config: a checked config; of a fabric its nodes are looked at one by one.
        tree: the tree it was made from.
    """
    if isinstance(config, FabricConfig):
        return []
    if missing := missing_files(config, tree):
        return missing
    try:
        if not isinstance(config, ClientConfig):  # most clients keep nothing, whatever a variable says for all
            config.storage_file()
        settings = config.security_settings()
    except ConfigError as error:  # of a policy or a store, with its own place
        return [error]
    return list(amiss(settings)) if settings is not None else []


def missing_files(config: NodeConfig, tree: Table) -> list[ConfigError]:
    """Return what is to be said of the files that its security names and that can't be read, by their places."""
    missing = [(mark_at(tree, path, of_key=False), told) for path, told in _missing(config)]
    missing.sort(key=lambda each: (each[0].line, each[0].column))
    return [mark.error(*told) for mark, told in missing]


def files_of(config: NodeConfig) -> Iterator[tuple[_Path, str | None]]:
    """Yield where a config may name a file of its security, and the name that stands there."""
    security, tls = config.security, config.security.tls
    for index, issuer in enumerate(security.issuers):
        yield ("security", "issuers", index, "key_file"), issuer.key_file
    for name, file in (("certificate", tls.certificate), ("key", tls.key), ("authorities", tls.authorities)):
        yield ("security", "tls", name), file
    yield ("security", "policy"), security.policy
    yield ("admission", "token_file"), config.admission.token_file
    for index, peer in enumerate(config.peers if isinstance(config, SentinelConfig) else []):
        if peer.admission is not None:
            yield ("peers", index, "admission", "token_file"), peer.admission.token_file


def _missing(config: NodeConfig) -> Iterator[tuple[_Path, tuple[str, str]]]:
    for path, name in files_of(config):
        if name is None:
            continue
        file = located(name, config.base_dir)
        try:
            os.close(open_regular(file))
        except OSError as error:
            reason = (error.strerror or "no file").lower()
            where = "" if str(file) == name else f" ({file})"
            hint = "write it there, or correct its name"
            yield path, (f"{dotted(path)}: {quoted(name)} can't be read: {reason}{where}", hint)
    text = config.agent.import_ if isinstance(config, AgentConfig) else None
    if text is not None and (looked := missing_module(text, config.base_dir)):
        yield ("agent", "import"), (f"agent.import: no module {text.partition(':')[0]}", looked)


def amiss(settings: SecuritySettings) -> Iterator[ConfigError]:
    """Yield what is wrong with the keys of issuers and the files of TLS."""
    from fame_cli.security.jwks import IssuerKeys  # cryptography and joserfc: only who checks needs them here
    from fame_cli.security.tls import client_context, server_context

    for issuer in settings.issuers:
        try:
            IssuerKeys(issuer, settings.plain_hosts)
        except ConfigError as error:
            yield error
    try:
        server_context(settings.tls)
        client_context(settings.tls)
    except ConfigError as error:
        yield error
