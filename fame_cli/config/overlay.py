"""Environment variables and command-line flags, laid over the tree of a file: flag, then variable, then file.

Pure, but that a file named by a variable is looked up from the current folder, as everything on a command line is. What
comes in keeps its origin as its place (``FAME_LISTEN``, ``--url``), so that a bad value is reported where it was set.
Most of what is here are the limits of the variables: one exported for a client must not bend a sentinel.
"""

from collections.abc import Mapping
from pathlib import Path

from fame_cli.config.document import Items, Leaf, Mark, Node, Table
from fame_cli.config.fields import is_own_url
from fame_cli.config.schema import DEFAULT_LISTEN
from fame_cli.config.security_fields import located
from fame_cli.errors import ConfigError

__all__ = ["FLAGS", "NODE_VARIABLES", "apply_flags", "apply_upstream", "apply_variables", "node_environment"]

FLAGS: dict[str, str] = {
    "id": "--id",
    "listen": "--listen",
    "peers": "--peer",
    "workers": "--workers",
    "upstream.direct_url": "--url",
    "agent.import": "MODULE:CLASS",
    "agent.address": "--address",
    "fail_fast": "--fail-fast",
    "timeout_s": "--timeout",
    "retry": "--retry",
    "log.level": "--log-level",
    "log.format": "--log-format",
}
"""Config keys that have a flag (or argument), and its name."""

NODE_VARIABLES = (
    "FAME_NODE_ID",
    "FAME_LISTEN",
    "FAME_SENTINEL_PORT",
    "FAME_PEER_WS_URL",
    "FAME_DIRECT_ADMISSION_URL",
    "FAME_ADMISSION_PROFILE",
    "FAME_ADMISSION_TOKEN",
    "FAME_ADMISSION_TOKEN_FILE",
    "FAME_STORAGE_PATH",
)
"""Variables that mean one node: set for a fabric of many they would make all of them the same one."""

_ANYWHERE = {
    "FAME_LOG_LEVEL": "log.level",
    "FAME_LOG_FORMAT": "log.format",
    "FAME_ALLOW_OPEN_PUBLIC": "security.allow_open_public",
    "FAME_TRANSPORT": "wire.transport",
    "FAME_BATCH": "wire.batch",
    "FAME_SILENCE_S": "wire.silence_s",
    "FAME_SECURITY_PROFILE": "security.profile",
    "FAME_DELIVERY_PROFILE": "delivery.profile",
    "FAME_STORAGE_PROFILE": "storage.profile",
}
_FILES = {
    "FAME_HOME": "security.home",
    "FAME_AUTH_POLICY_PATH": "security.policy",
    "FAME_AUDIT_LOG": "security.audit",
    "FAME_STORAGE_PATH": "storage.path",
    "FAME_TLS_CERT": "security.tls.certificate",
    "FAME_TLS_KEY": "security.tls.key",
    "FAME_TLS_CA": "security.tls.authorities",
}
_TOKEN_FILE, _TOKEN_URL = "FAME_ADMISSION_TOKEN_FILE", "FAME_ADMISSION_TOKEN_URL"
_TOKENS = {
    "FAME_ADMISSION_TOKEN": "token",
    _TOKEN_FILE: "token_file",
    _TOKEN_URL: "token_url",
}
_WHO_ASKS = {"FAME_ADMISSION_CLIENT_ID": "client_id", "FAME_ADMISSION_CLIENT_SECRET": "client_secret"}
_AUDIENCE = "FAME_JWT_AUDIENCE"
_ISSUER_NAME = "FAME_JWT_TRUSTED_ISSUER"
_KEYS_URL = "FAME_JWKS_URL"
_ISSUER = {
    _ISSUER_NAME: "issuer",
    _AUDIENCE: "audience",
    _KEYS_URL: "jwks_url",
    "FAME_JWT_ALGORITHM": "algorithm",
}
_LEVELS = {"plaintext": "plain", "sealed": "sealed"}
_URL = "FAME_DIRECT_ADMISSION_URL"
_PROFILE = "FAME_ADMISSION_PROFILE"


def node_environment(env: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of one node of a fabric: the outer ones but those that mean one node, and its own."""
    return {name: value for name, value in env.items() if name not in NODE_VARIABLES} | dict(own)


def put(tree: Table, path: str, node: Node) -> None:
    """Set the value at a dotted path; sections on the way are made or copied, never changed in place.

    A section that isn't a mapping is left as it is, for validation to refuse.
    """
    *sections, last = path.split(".")
    for name in sections:
        section = tree.values.get(name)
        if section is None or (isinstance(section, Leaf) and section.is_null):
            section = Table({}, node.mark)
            tree.put(name, section)
        if not isinstance(section, Table):
            return
        copy = Table(dict(section.values), section.mark, dict(section.key_marks))
        tree.put(name, copy, tree.key_marks[name])
        tree = copy
    tree.put(last, node)


def _variable(tree: Table, path: str, name: str, value: str) -> None:
    put(tree, path, Leaf(value, Mark(name), is_plain=False, is_interpolated=True))


def apply_flags(tree: Table, flags: Mapping[str, object]) -> None:
    """Lay flags over the tree.

    Args:
        tree: changed in place.
        flags: dotted config key → value; None and empty lists are flags that weren't given. ``peers`` takes URLs.
    """
    for path, value in flags.items():
        mark = Mark(FLAGS.get(path, path), is_flag=True)
        if value is None or value == [] or value == ():
            continue
        if path == "peers" and isinstance(value, list | tuple):
            urls = [Leaf(str(url), mark, is_plain=False, is_interpolated=True) for url in value]
            put(tree, path, Items([Table({"direct_url": url}, mark, {"direct_url": mark}) for url in urls], mark))
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        put(tree, path, Leaf(text, mark, is_plain=False, is_interpolated=True))


def apply_variables(tree: Table, kind: str, env: Mapping[str, str], *, has_file: bool) -> None:
    """Lay the variables over the tree; an empty variable counts as not set.

    Args:
        tree: changed in place.
        kind: sentinel, agent or client.
        env: the variables that mean this node.
        has_file: the tree came from a file, whose peers and upstream then decide which links a sentinel makes.

    Raises:
        ConfigError: an admission profile that isn't available, or a variable without one that it needs.
    """
    for name, path in _ANYWHERE.items():
        if env.get(name):
            _variable(tree, path, name, env[name])
    for name, path in _FILES.items():
        if env.get(name):
            _variable(tree, path, name, _whole(env[name]))
    if env.get("FAME_SHOW_ENVELOPES"):  # only exactly "true" turns it on (the Naylence rule)
        on = env["FAME_SHOW_ENVELOPES"] == "true"
        _variable(tree, "log.show_envelopes", "FAME_SHOW_ENVELOPES", "true" if on else "false")
    if env.get("FAME_NODE_ID"):
        _variable(tree, "id", "FAME_NODE_ID", env["FAME_NODE_ID"])
    _apply_credential(tree, env)
    _apply_issuer(tree, env)
    _apply_level(tree, env)
    profile = _admission_profile(env)
    if profile:
        _variable(tree, "admission.profile", _PROFILE, profile)
    if kind == "sentinel":
        _apply_to_sentinel(tree, env, profile, has_file=has_file)
        return
    if profile == "none":
        hint = "use open, or unset it"
        raise ConfigError(f'"none" leaves this {kind} without a sentinel', source=_PROFILE, hint=hint)
    if env.get(_URL):
        _variable(tree, "upstream.direct_url", _URL, env[_URL])


def _whole(name: str) -> str:
    return str(located(name, Path.cwd()))


def _section(tree: Table, name: str) -> Table:
    """Return a section of a tree, an empty one if it isn't there."""
    found = tree.values.get(name)
    return found if isinstance(found, Table) else Table({}, tree.mark)


def _apply_credential(tree: Table, env: Mapping[str, str]) -> None:
    """Let the variables say where the node's token comes from: then what the file says of it doesn't count."""
    named = [name for name in _TOKENS if env.get(name)]
    if named:
        admission = _section(tree, "admission")
        kept = Table(dict(admission.values), admission.mark, dict(admission.key_marks))
        for key in _TOKENS.values() if _TOKEN_URL in named else (*_TOKENS.values(), *_WHO_ASKS.values()):
            kept.drop(key)
        tree.put("admission", kept, tree.key_marks.get("admission"))
    for name in named:
        _variable(tree, f"admission.{_TOKENS[name]}", name, _whole(env[name]) if name == _TOKEN_FILE else env[name])
    admission = _section(tree, "admission")
    if not admission.text("token_url"):
        return  # what is exported for others means nothing here
    for name, key in _WHO_ASKS.items():
        if env.get(name):
            _variable(tree, f"admission.{key}", name, env[name])
    if env.get(_AUDIENCE) and not admission.text("audience"):
        _variable(tree, "admission.audience", _AUDIENCE, env[_AUDIENCE])


def _apply_issuer(tree: Table, env: Mapping[str, str]) -> None:
    """Make the variables about tokens one more issuer, or another one in place of its namesake in the file.

    Raises:
        ConfigError: tokens count, and something about the issuer is missing.
    """
    name = env.get(_ISSUER_NAME, "")
    if _section(tree, "security").text("profile").lower() in ("", "open"):
        return  # what is exported for other nodes means nothing here
    if env.get(_KEYS_URL) and not name:
        raise ConfigError(f"needs {_ISSUER_NAME}", source=_KEYS_URL, hint="set it, or unset this one")
    if name and not env.get(_AUDIENCE):
        hint = f"set {_AUDIENCE} to what `aud` of its tokens has to hold, or unset this one"
        raise ConfigError(f"needs {_AUDIENCE}", source=_ISSUER_NAME, hint=hint)
    if not name:
        return
    mark = Mark(_ISSUER_NAME)
    issuer = Table({}, mark)
    for variable, key in _ISSUER.items():
        if env.get(variable):
            issuer.put(key, Leaf(env[variable], Mark(variable), is_plain=False, is_interpolated=True))
    listed = _section(tree, "security").values.get("issuers")
    others = listed.values if isinstance(listed, Items) else []
    others = [each for each in others if not (isinstance(each, Table) and each.text("issuer") == name)]
    put(tree, "security.issuers", Items([issuer, *others], mark))


def _apply_level(tree: Table, env: Mapping[str, str]) -> None:
    """Take how payloads are to be encrypted; channels are answered, but none is opened."""
    name = "FAME_DEFAULT_ENCRYPTION_LEVEL"
    level = env.get(name, "").lower()
    if not level:
        return
    if level not in _LEVELS:
        what = "fame answers channels but opens none" if level == "channel" else f'unknown level "{level[:40]}"'
        raise ConfigError(what, source=name, hint="use sealed or plaintext")
    _variable(tree, "security.encryption", name, _LEVELS[level])


def _admission_profile(env: Mapping[str, str]) -> str:
    profile = env.get(_PROFILE, "").lower()
    if profile in ("", "open", "direct", "none"):
        return profile
    if profile == "noop":
        return "none"
    known = ("direct-http", "welcome")
    what = f'"{profile}" isn\'t available yet' if profile in known else f'unknown "{" ".join(profile[:60].split())}"'
    raise ConfigError(what, source=_PROFILE, hint="use open, direct or none")


def _apply_to_sentinel(tree: Table, env: Mapping[str, str], profile: str, *, has_file: bool) -> None:
    if env.get("FAME_LISTEN"):
        _variable(tree, "listen", "FAME_LISTEN", env["FAME_LISTEN"])
    elif port := env.get("FAME_SENTINEL_PORT"):
        host = (tree.text("listen") or DEFAULT_LISTEN).rpartition(":")[0]
        _variable(tree, "listen", "FAME_SENTINEL_PORT", f"{host}:{port}")
    if not has_file and (peer := env.get("FAME_PEER_WS_URL")):
        mark = Mark("FAME_PEER_WS_URL")
        url = Leaf(peer, mark, is_plain=False, is_interpolated=True)
        put(tree, "peers", Items([Table({"direct_url": url}, mark, {"direct_url": mark})], mark))
    if profile == "none":
        tree.drop("upstream")


def apply_upstream(tree: Table, env: Mapping[str, str], *, has_file: bool) -> None:
    """Give a sentinel its parent from the variable, once its peers and its own address are known (after the flags).

    Only where a parent is wanted: the file has ``upstream``, or there is no file, the admission profile is open and
    no peers are set. A URL that leads back to this sentinel is meant for the clients on its machine.
    """
    url, upstream = env.get(_URL, ""), tree.values.get("upstream")
    if (
        not url
        or (upstream is not None and upstream.mark.is_flag)
        or is_own_url(url, tree.text("listen") or DEFAULT_LISTEN)
    ):
        return
    if has_file:
        is_wanted = isinstance(upstream, Table)
    else:
        is_wanted = _admission_profile(env) in ("open", "direct") and "peers" not in tree.values
    if is_wanted:
        _variable(tree, "upstream.direct_url", _URL, url)
