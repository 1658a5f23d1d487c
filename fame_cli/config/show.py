"""A configuration as YAML again: every default filled in, every variable replaced, every secret masked.

Pure. What is printed loads again and means the same (but for the masks); a dollar sign that would begin a variable is
written as two.
"""

import re

import yaml

from fame_cli.config.document import Items, Leaf, Node, Table
from fame_cli.config.load import AnyConfig
from fame_cli.config.mask import MASK, is_secret_name, mask_text

__all__ = ["resolved_yaml"]

_DOLLAR = re.compile(r"\$(?=[${<])")


def resolved_yaml(config: AnyConfig, tree: Table) -> str:
    """Return the YAML of a loaded config.

    Args:
        config: what `load_any` returned.
        tree: the tree it came with, which knows the values that secret variables went into.
    """
    data = config.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=False)
    return yaml.safe_dump(_masked(data, tree), sort_keys=False, allow_unicode=True, width=120)


def _masked(value: object, node: Node | None, *, is_secret: bool = False) -> object:
    if isinstance(value, dict):
        known = node.values if isinstance(node, Table) else {}
        return {key: _masked(item, known.get(key), is_secret=_hides(key, item)) for key, item in value.items()}
    if isinstance(value, list):
        nodes: list[Node | None] = list(node.values) if isinstance(node, Items) else []
        nodes += [None] * (len(value) - len(nodes))
        return [_masked(item, part, is_secret=is_secret) for item, part in zip(value, nodes, strict=False)]
    if value is not None and (is_secret or (isinstance(node, Leaf) and node.is_secret)):
        return MASK
    return _DOLLAR.sub("$$", mask_text(value)) if isinstance(value, str) else value


def _hides(key: str, value: object) -> bool:
    """Tell whether a key's name makes its value a secret; a mapping below it says so for itself."""
    return is_secret_name(key) and not isinstance(value, dict)
