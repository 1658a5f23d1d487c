"""The check of the config: it loads, has no key that isn't one, and the files it names are there.

What it comes to are the subjects of all other checks.
"""

from dataclasses import replace

from fame_cli.cli.checkup.case import Case, NodeConfig, Subject, Target
from fame_cli.cli.checkup.findings import Finding, fail, fail_of, ok
from fame_cli.config.document import Table
from fame_cli.config.load import describe, find, load, load_any, load_nodes
from fame_cli.config.needs import missing_files
from fame_cli.config.schema import AgentConfig, ClientConfig, SentinelConfig
from fame_cli.config.validate import findings
from fame_cli.errors import ConfigError, FameError

__all__ = ["CHECK", "look"]

CHECK = "config"


def look(case: Case) -> list[Finding]:
    """Load the config and fill in what there is to look at."""
    try:
        return _loaded(case)
    except FameError as error:
        return _all_of(error)


def _all_of(error: FameError) -> list[Finding]:
    """Return everything that was wrong with a file: a failure has the others as notes."""
    rest = (text.rpartition("; ") for text in findings(error)[1:])
    return [
        fail_of(CHECK, error),
        *(fail(CHECK, what or do, do if what else "", type(error)) for what, _, do in rest),
    ]


def _loaded(case: Case) -> list[Finding]:
    if case.file is None:
        flags = {"upstream.direct_url": case.url}
        loaded = load(None, kind="client", env=case.env, overrides=flags, node=case.node)
        told = _added(_subject("", loaded, case), None, case)
        source = "--url" if case.url else "variables and defaults"
        return told or [ok(CHECK, f"no file; {source} name {loaded.upstream.direct_url}")]
    if case.url is not None:
        load(None, kind="client", env={}, overrides={"upstream.direct_url": case.url})  # is it one at all?
    case.path = find(case.file)
    if case.node is not None:
        nodes = [load_any(case.path, env=case.env, node=case.node)]
    else:
        nodes = load_nodes(case.path, env=case.env)
    told = []
    for number, (config, tree) in enumerate(nodes, 1):
        assert isinstance(config, SentinelConfig | AgentConfig | ClientConfig)  # a fabric has been taken apart
        name = (config.id or f"node {number}") if len(nodes) > 1 else ""
        told += _added(_subject(name, config, case), tree, case)
    whole, _ = load_any(case.path, env=case.env, node=case.node)
    return told or [ok(CHECK, f"{case.path}: {describe(whole)}")]


def _added(subject: Subject, tree: Table | None, case: Case) -> list[Finding]:
    """Have a node looked at by the other checks, too; return what is amiss with the files it names."""
    amiss = [fail_of(CHECK, error) for error in missing_files(subject.config, tree)] if tree is not None else []
    if not amiss:
        try:
            subject = replace(subject, settings=subject.config.security_settings())
        except ConfigError as error:  # of the policy, with its own places
            amiss = _all_of(error)
    case.subjects.append(replace(subject, is_sound=not amiss))
    return [finding.about(subject.name) for finding in amiss]


def _subject(name: str, config: NodeConfig, case: Case) -> Subject:
    if case.url is not None:
        targets: tuple[Target, ...] = (Target(case.url),)
    else:
        upstream = [Target(config.upstream.direct_url)] if config.upstream is not None else []
        peers = config.peers if config.kind == "sentinel" else []
        targets = (*upstream, *(Target(peer.direct_url, as_peer=True) for peer in peers))
    return Subject(name, config, targets=targets)
