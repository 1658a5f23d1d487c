"""All nodes of one fabric in one file, for ``fame up``. Pure."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from fame_cli.config import fields
from fame_cli.config.fields import bad
from fame_cli.config.schema import AgentConfig, ClientConfig, NodeConfig, SentinelConfig
from fame_cli.config.section import Section

__all__ = ["FabricConfig", "NodeRef"]


class NodeRef(Section):
    """Name a node of a fabric that has a file of its own."""

    config: fields.Plain
    """The node's file, relative to this one (or in configs/ beside this one)."""

    env: dict[fields.VariableName, fields.Plain] = Field(default={})
    """Variables for that file."""

    id: fields.NodeName | None = None
    """Node id, in place of the one in its file."""


_TAGS = {"sentinel": "<sentinel>", "agent": "<agent>", "client": "<client>"}


def _node_tag(value: object) -> str | None:
    """Tell which model a node of a fabric is; None makes pydantic refuse it."""
    if isinstance(value, NodeConfig):
        return _TAGS.get(value.kind)
    if isinstance(value, NodeRef) or (isinstance(value, dict) and "config" in value):
        return "<ref>"
    return _TAGS.get(str(value.get("kind"))) if isinstance(value, dict) else None


FabricEntry = Annotated[
    Annotated[SentinelConfig, Tag("<sentinel>")]
    | Annotated[AgentConfig, Tag("<agent>")]
    | Annotated[ClientConfig, Tag("<client>")]
    | Annotated[NodeRef, Tag("<ref>")],
    Discriminator(_node_tag),
]


class FabricConfig(Section):
    """Describe all nodes of one fabric, for ``fame up``."""

    kind: Literal["fabric"] = "fabric"
    """What this file describes."""

    name: fields.NodeName
    """Name of the fabric."""

    nodes: Annotated[list[FabricEntry], Field(min_length=1)]
    """The nodes: a whole node each (with an id), or config: FILE."""

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        seen: set[str] = set()
        for index, node in enumerate(self.nodes):
            if node.id is None and not isinstance(node, NodeRef):
                raise bad("a node without an id", "add id: NAME", at=("nodes", index))
            if node.id is not None and node.id in seen:
                raise bad("{value} names two nodes", "give one of them another id", at=("nodes", index, "id"))
            seen.add(node.id or "")
        return self
