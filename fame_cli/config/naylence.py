"""The nested form of the Naylence fabric (``node: {type: Sentinel, …}``), made into the flat form.

Pure: a tree goes in, a tree comes out, and every value keeps its place, so later errors still point into the user's
file. Keys may be in snake_case or camelCase. Everything we don't support is an error that says so, never skipped.
"""

import difflib
import re
from collections.abc import Mapping

from fame_cli.config.custody import DeliveryConfig, StorageConfig
from fame_cli.config.document import Items, Leaf, Mark, Node, Table
from fame_cli.config.fields import is_own_url
from fame_cli.config.schema import DEFAULT_LISTEN, SecurityConfig
from fame_cli.config.section import Section
from fame_cli.errors import ConfigError

__all__ = ["NODE_KEYS", "flatten", "is_nested"]

NODE_KEYS: dict[str, str] = {
    "type": "Sentinel or Node",
    "id": "node id",
    "requested_logicals": "logical names, list",
    "listeners": "sentinel only: [{type: WebSocketListener, host, port}]",
    "peers": "sentinel only: [{direct_url: URL}]",
    "security": "{type: SecurityProfile, profile: open, gated, overlay, strict-overlay}; our keys go beside",
    "admission": "{type: AdmissionProfile, profile: open, direct or none}",
    "identity_policy": "{type: NodeIdentityPolicyProfile, profile: default}",
    "storage": "{type: StorageProfile, profile: memory or sqlite}; our keys go beside",
    "delivery": "{type: DeliveryProfile, profile: at-most-once or at-least-once}; our keys go beside",
    "public_url": "must be empty",
}
"""Keys below ``node`` that load, and what they take."""

_UNSUPPORTED = frozenset(
    {
        *("mode", "direct_parent_url", "has_parent", "telemetry", "connection_retry_policy", "key_store", "services"),
        *("attachment_key_validator", "env_context", "transport", "routing_policy", "load_balancing", "stickiness"),
        *("authorizer", "max_attach_ttl_sec"),
    }
)
"""Keys a Naylence node knows and this one doesn't."""

_OURS: dict[str, tuple[str, type[Section]]] = {
    "security": ("SecurityProfile", SecurityConfig),
    "storage": ("StorageProfile", StorageConfig),
    "delivery": ("DeliveryProfile", DeliveryConfig),
}
"""Sections that are those of the flat form, but for their type."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_nested(tree: Table) -> bool:
    """Tell whether a file is in the nested form."""
    return "node" in tree.values and "kind" not in tree.values


def flatten(tree: Table, env: Mapping[str, str], kind: str | None) -> Table:
    """Return the flat tree of a nested one.

    Args:
        tree: the file, resolved; beside ``node`` it may have the flat form's ``agent``, ``log`` and ``limits``.
        env: the variables; ``FAME_DIRECT_ADMISSION_URL`` completes ``admission: open``.
        kind: what the caller wants to run; decides whether a Naylence Node is an agent or a client.

    Raises:
        ConfigError: a key or value that isn't supported.
    """
    flat = Table({}, tree.mark)
    for key, value in tree.values.items():
        if key in ("agent", "log", "limits", "timeout_s"):
            flat.put(key, value, tree.key_marks[key])
        elif key != "node":
            hint = f"remove it; beside node there may be {_listed(['agent', 'log', 'limits'])}"
            raise tree.key_marks[key].error(f'"{key}" isn\'t supported in a file with node', hint)
    node = _table(tree.values["node"], "node")
    keys = _snake_keys(node, "node", list(NODE_KEYS), _UNSUPPORTED)
    is_sentinel = _is_sentinel(keys, node)
    _put_kind(flat, keys.get("type", node), "sentinel" if is_sentinel else _leaf_kind(flat, kind))
    if "id" in keys:
        flat.put("id", keys["id"])
    for name in _OURS.keys() & keys.keys():
        flat.put(name, _section(name, keys[name]))
    _check_fixed(keys)
    _put_logicals(flat, keys)
    if is_sentinel:
        _put_listen(flat, keys)
        _put_peers(flat, keys)
    elif found := [name for name in ("peers", "listeners") if name in keys]:
        raise keys[found[0]].mark.error(f"node.{found[0]} needs type: Sentinel", "remove it, or change the type")
    _put_admission(flat, keys, env, is_sentinel=is_sentinel)
    return flat


def _snake_keys(
    table: Table, where: str, known: list[str], unsupported: frozenset[str] = frozenset()
) -> dict[str, Node]:
    """Return the values by snake_case key, refusing what isn't known."""
    found: dict[str, Node] = {}
    for key, value in table.values.items():
        name, mark = _HUMP.sub("_", key).lower(), table.key_marks[key]
        if name in unsupported:
            raise mark.error(f'"{where}.{key}" isn\'t supported by fame', "remove it")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f'did you mean "{near[0]}"' if near else f"use {_listed(known)}"
            raise mark.error(f'unknown key "{key}" in {where}', hint)
        if name in found:
            raise mark.error(f'duplicate key "{key}"', f"it is the same as {name}; remove one")
        found[name] = value
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _table(value: Node, where: str) -> Table:
    if not isinstance(value, Table):
        raise value.mark.error(f"{where} wants a mapping", 'write it as "key: value" lines')
    return value


def _items(value: Node, where: str) -> list[Node]:
    if isinstance(value, Items):
        return value.values
    if isinstance(value, Leaf) and value.is_null:
        return []
    raise value.mark.error(f"{where} wants a list", 'write it as "- item" lines')


def _text(value: Node | None, where: str) -> str:
    if value is None or (isinstance(value, Leaf) and value.is_null):
        return ""
    if not isinstance(value, Leaf):
        raise value.mark.error(f"{where} wants a single value", "replace it")
    return value.text


def _expect(value: Node | None, where: str, accepted: tuple[str, ...]) -> str:
    """Return a text that must be one of `accepted`; "" if there is none."""
    text = _text(value, where)
    if text and value and text not in accepted:
        shown = "***" if isinstance(value, Leaf) and value.is_secret else " ".join(text[:60].split())
        raise value.mark.error(f'{where}: "{shown}" isn\'t supported by fame', f"use {_listed(list(accepted))}")
    return text


def _is_sentinel(keys: dict[str, Node], node: Table) -> bool:
    return (_expect(keys.get("type"), "node.type", ("Sentinel", "Node")) or "Node") == "Sentinel"


def _leaf_kind(flat: Table, kind: str | None) -> str:
    if kind in ("agent", "client"):
        return kind
    return "agent" if "agent" in flat.values else "client"


def _put_kind(flat: Table, source: Node, kind: str) -> None:
    flat.put("kind", Leaf(kind, source.mark))


def _section(name: str, value: Node) -> Node:
    type_name, model = _OURS[name]
    keys = _snake_keys(_table(value, f"node.{name}"), f"node.{name}", ["type", *model.model_fields])
    _expect(keys.pop("type", None), f"node.{name}.type", (type_name,))
    return Table(dict(keys), value.mark, {name: item.mark for name, item in keys.items()})


def _check_fixed(keys: dict[str, Node]) -> None:
    if "identity_policy" in keys:
        where = "node.identity_policy"
        parts = _snake_keys(_table(keys["identity_policy"], where), where, ["type", "profile"])
        _expect(parts.get("type"), f"{where}.type", ("NodeIdentityPolicyProfile",))
        _expect(parts.get("profile"), f"{where}.profile", ("default",))
    public_url = keys.get("public_url")
    if public_url is not None and _text(public_url, "node.public_url"):
        raise public_url.mark.error('"node.public_url" isn\'t supported by fame', "leave it empty or remove it")


def _put_logicals(flat: Table, keys: dict[str, Node]) -> None:
    if "requested_logicals" in keys and flat.text("kind") != "client":  # a client binds nothing, whatever it asks for
        flat.put("logicals", keys["requested_logicals"])


def _put_listen(flat: Table, keys: dict[str, Node]) -> None:
    listeners = [_listener(item) for item in _items(keys["listeners"], "node.listeners")] if "listeners" in keys else []
    active = [listener for listener in listeners if listener is not None]
    if len(active) > 1:
        raise active[1].mark.error("a second listener isn't supported by fame", "keep one WebSocketListener")
    if active:
        flat.put("listen", active[0])


def _listener(value: Node) -> Leaf | None:
    """Return ``host:port`` of an enabled listener, None for one that is switched off."""
    keys = _snake_keys(
        _table(value, "listener"), "listener", ["type", "host", "port", "enabled"], frozenset({"authorizer"})
    )
    if _expect(keys.get("enabled"), "listener.enabled", ("true", "false")) == "false":
        return None
    if _text(keys.get("type"), "listener.type") not in ("", "WebSocketListener"):
        raise value.mark.error("fame listens with WebSocketListener only", "remove this one, or add enabled: false")
    default_host, _, default_port = DEFAULT_LISTEN.rpartition(":")
    host = _text(keys.get("host"), "listener.host") or default_host
    port = _text(keys.get("port"), "listener.port") or default_port
    place = keys.get("port") or keys.get("host") or value
    return Leaf(f"[{host}]:{port}" if ":" in host and host[0] != "[" else f"{host}:{port}", place.mark)


def _put_peers(flat: Table, keys: dict[str, Node]) -> None:
    if "peers" not in keys:
        return
    peers: list[Node] = []
    for item in _items(keys["peers"], "node.peers"):
        table = _table(item, "node.peers")
        parts = _snake_keys(table, "peers", ["direct_url"], frozenset({"admission"}))
        peers.append(Table(dict(parts), item.mark, {name: part.mark for name, part in parts.items()}))
    flat.put("peers", Items(peers, keys["peers"].mark))


def _put_admission(flat: Table, keys: dict[str, Node], env: Mapping[str, str], *, is_sentinel: bool) -> None:
    """Turn ``admission: open`` into an upstream.

    A sentinel with peers has its links already, and a URL that leads back to the sentinel itself is meant for the
    clients on its machine: neither makes it a child.
    """
    profile, place = "", keys.get("admission")
    if place is not None:
        parts = _snake_keys(_table(place, "node.admission"), "node.admission", ["type", "profile"])
        _expect(parts.get("type"), "node.admission.type", ("AdmissionProfile",))
        profile = _expect(parts.get("profile"), "node.admission.profile", ("open", "direct", "none", "noop"))
    if place is not None and profile == "direct":
        flat.put("admission", Table({"profile": Leaf("direct", place.mark)}, place.mark, {"profile": place.mark}))
    if not is_sentinel:
        if place is not None and profile in ("none", "noop"):
            raise place.mark.error("node.admission: without admission this node reaches nobody", "use profile: open")
        return  # agents and clients take the URL from the variable or the default: overlay
    peers = flat.values.get("peers")
    if profile not in ("open", "direct") or place is None or (isinstance(peers, Items) and peers.values):
        return
    url = env.get("FAME_DIRECT_ADMISSION_URL", "")
    if not url:
        raise _missing_url(place.mark)
    if not is_own_url(url, flat.text("listen") or DEFAULT_LISTEN):
        leaf = Leaf(url, Mark("FAME_DIRECT_ADMISSION_URL"), is_interpolated=True)
        flat.put("upstream", Table({"direct_url": leaf}, place.mark, {"direct_url": leaf.mark}))


def _missing_url(mark: Mark) -> ConfigError:
    return mark.error(
        "node.admission needs the variable FAME_DIRECT_ADMISSION_URL", "set it, or use profile: none for a root"
    )
