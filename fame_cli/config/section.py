"""What all sections of a configuration file have in common: one mapping, with known keys only.

Pure. A key that isn't known is an error that lists those that are, so `validate` can name the nearest; an empty value
means the default, because ``peers:`` with every entry commented out is no reason to refuse a file.
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from fame_cli.config.document import Text

__all__ = ["UNKNOWN_KEYS", "Section", "is_empty"]

UNKNOWN_KEYS = "unknown_keys"
"""Type of the pydantic error that lists keys a section doesn't know."""


class Section(BaseModel):
    """Be one mapping of a file: unknown keys are errors, an empty value means the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    keeps_null: ClassVar[frozenset[str]] = frozenset()
    """Keys for which null is a value of its own."""

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        known = {info.alias or name: info.is_required() for name, info in cls.model_fields.items()}
        unknown = tuple(str(key) for key in data if key not in known)
        if unknown:
            raise PydanticCustomError(UNKNOWN_KEYS, "unknown keys", {"keys": unknown, "known": tuple(known)})
        optional = {key for key, is_required in known.items() if not is_required and key not in cls.keeps_null}
        return {key: value for key, value in data.items() if key not in optional or not is_empty(value)}


def is_empty(value: object) -> bool:
    """Tell whether a value is null, or a variable that came out empty."""
    return value is None or (isinstance(value, Text) and value.is_typed and not value)
