"""The sections about messages a node answers for: how they are delivered, where they are kept, and for whom else.

Pure, but that it asks where the home folder is: there is the place of a store without a path.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fame_cli.config import fields
from fame_cli.config.fields import bad
from fame_cli.config.plain import environment
from fame_cli.config.section import Section
from fame_cli.config.security_fields import FileName, located
from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.errors import ConfigError

__all__ = ["DeliveryConfig", "MailboxConfig", "StorageConfig"]

Attempts = Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(fields.to_whole)]
Age = Annotated[float, Field(ge=0, le=31_536_000), BeforeValidator(fields.to_number)]
Messages = Annotated[int, Field(ge=1, le=10_000_000), BeforeValidator(fields.to_whole)]
Bytes = Annotated[int, Field(ge=65_536, le=1_099_511_627_776), BeforeValidator(fields.to_whole)]


class StorageConfig(Section):
    """Say where the messages are that this node answers for."""

    profile: Annotated[Literal["memory", "sqlite"] | None, BeforeValidator(fields.lowercase)] = None
    """`memory`: they end with the process; `sqlite`: they are in a file. sqlite if there is a path, else memory."""

    path: FileName | None = None
    """The file, for this node alone; messages/<id>.db in the home folder if not set."""

    @model_validator(mode="after")
    def _check_path(self) -> Self:
        if self.path is not None and self.profile == "memory":
            raise bad("memory has no path", "remove it, or use profile: sqlite", at=("path",))
        return self

    def file(self, node_id: str | None, home: str | None, base_dir: Path) -> Path | None:
        """Return where the messages are; None for memory.

        Args:
            node_id: the node's, if it has one of its own.
            home: the home folder of its config, if that names one.
            base_dir: where names begin.

        Raises:
            ConfigError: nothing says which file, or there is no home folder.
        """
        if self.path is not None:
            return located(self.path, base_dir)
        if self.profile != "sqlite":
            return None
        if node_id is None:
            hint = "set storage.path, or give the node an id"
            raise ConfigError("sqlite needs a path where the node's id is random", source="storage.profile", hint=hint)
        from fame_cli.security.keystore import home_folder  # slow to import, and most nodes keep nothing

        root = located(home, base_dir) if home is not None else home_folder(environment())
        return root / "messages" / f"{node_id}.db"


class DeliveryConfig(Section):
    """Say how messages are delivered that nobody waits for."""

    profile: Annotated[Literal["at-most-once", "at-least-once"], BeforeValidator(fields.lowercase)] = "at-most-once"
    """`at-least-once`: each is acknowledged, and sent again until it is; `at-most-once`: each is sent once."""

    ack_timeout_s: Annotated[float, Field(gt=0, le=3_600), BeforeValidator(fields.to_number)] = 5.0
    """Seconds to wait for an acknowledgement before a message is sent again, above 0 up to 3600; then longer."""

    max_attempts: Attempts = 0
    """How often a message is sent, or given to a handler that fails, before it is a dead letter; 0 for no bound."""

    max_age_s: Age = 604_800.0
    """Seconds after which a message is given up, up to 31536000; 0 for never."""

    max_messages: Messages = 100_000
    """Messages this node keeps at most, 1-10000000."""

    max_bytes: Bytes = 268_435_456
    """Bytes of them at most, 65536-1099511627776."""

    def told(self) -> Delivery:
        """Return it as the node knows it."""
        is_kept = self.profile == "at-least-once"
        times = self.ack_timeout_s, self.max_attempts, self.max_age_s
        return Delivery(is_kept, *times, self.max_messages, self.max_bytes)


class MailboxConfig(Section):
    """Keep messages for an address while nobody serves it."""

    address: fields.LogicalAddress
    """The address, e.g. math1@fame.fabric."""

    max_messages: Messages = 10_000
    """Messages it holds at most, 1-10000000; what comes then is refused."""

    max_bytes: Bytes = 67_108_864
    """Bytes of them at most, 65536-1099511627776."""

    max_age_s: Age = 604_800.0
    """Seconds after which a message in it is given up, up to 31536000; 0 for never."""

    def told(self) -> Mailbox:
        """Return it as the sentinel knows it."""
        return Mailbox(self.address, self.max_messages, self.max_bytes, self.max_age_s)
