"""Operations that are written in YAML instead of Python: a template, a command or an HTTP call, with typed parameters.

Pure: this only says what may be written. ``node/`` runs them.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from fame_cli.config import fields
from fame_cli.config.document import Text
from fame_cli.config.fields import bad
from fame_cli.config.section import Section, is_empty

__all__ = ["HttpCall", "OperationConfig", "ParamConfig"]

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


class ParamConfig(Section):
    """Describe one parameter of an operation written in YAML."""

    keeps_null = frozenset({"default"})

    type: Annotated[
        Literal["integer", "number", "string", "boolean", "object", "array"], BeforeValidator(fields.to_text)
    ]
    """JSON type of the argument."""

    default: fields.Json = None
    """Value when the caller gives none; a parameter without a default is required."""

    description: fields.Plain | None = None
    """What it means, for callers."""

    @property
    def has_default(self) -> bool:
        """Tell whether `default` was given, be it null."""
        return "default" in self.model_fields_set

    @model_serializer(mode="wrap")
    def _keep_null(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        data: dict[str, object] = serialize(self)
        return data | ({"default": self.default} if self.has_default else {})

    @model_validator(mode="before")
    @classmethod
    def _type_default(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("default"), Text):
            return data
        readers = {
            "integer": fields.to_whole,
            "number": fields.to_number,
            "boolean": fields.to_flag,
            "string": fields.to_text,
        }
        reader = readers.get(str(data.get("type")))
        try:
            return {**data, "default": reader(data["default"])} if reader else data
        except PydanticCustomError as error:
            context = error.context or {}
            raise bad(context["what"], context["hint"], at=("default",)) from None

    @model_validator(mode="after")
    def _check_default(self) -> Self:
        is_of_type = isinstance(self.default, _JSON_TYPES[self.type]) and (
            self.type == "boolean" or not isinstance(self.default, bool)
        )
        if self.default is not None and not is_of_type:
            raise bad(f"the default isn't of type {self.type}", "change one of them", at=("default",))
        return self


class HttpCall(Section):
    """Describe the HTTP call that answers an operation: arguments as JSON body, or as query with GET."""

    url: fields.HttpUrl
    """http:// or https:// URL."""

    method: fields.Method = "POST"
    """HTTP method."""

    headers: dict[str, fields.HeaderText] = Field(default={})
    """Headers to send; put secrets into variables."""

    @model_validator(mode="after")
    def _check_headers(self) -> Self:
        for name in self.headers:
            if not _HEADER_NAME.fullmatch(name):
                raise bad("not a header name", "use letters, digits and dashes", at=("headers", name))
        return self


def _template(value: str) -> str:
    import jinja2.sandbox  # here, because only files with templates should pay for it

    try:
        jinja2.sandbox.SandboxedEnvironment().parse(value)
    except jinja2.TemplateSyntaxError as error:
        raise bad(f"the template's line {error.lineno} is wrong: {error.message}", "see the jinja2 syntax") from None
    except RecursionError:
        raise bad("the template is nested too deeply", "simplify it") from None
    return value


class OperationConfig(Section):
    """Describe an operation written in YAML: a template, a command or an HTTP call."""

    description: fields.Plain | None = None
    """What it does, for callers."""

    params: dict[fields.VariableName, ParamConfig] = Field(default={})
    """Parameters by name."""

    template: Annotated[fields.Plain, AfterValidator(_template)] | None = None
    """jinja2 template (sandboxed) over the arguments; its text is the result."""

    command: Annotated[list[fields.Plain], Field(min_length=1)] | None = None
    """Program and its arguments, never a shell; gets the arguments as JSON on stdin, its stdout is the result."""

    http: HttpCall | None = None
    """HTTP call whose JSON answer is the result."""

    result: Annotated[Literal["text", "json"], BeforeValidator(fields.lowercase)] = "text"
    """How to read what the template or command gives; an HTTP answer is always json."""

    stream: fields.Flag = False
    """Command only: each line of stdout is an item of a stream."""

    timeout_s: Annotated[float, Field(gt=0, le=86_400), BeforeValidator(fields.to_number)] = 30.0
    """Seconds until the operation is given up, above 0 up to 86400."""

    @model_validator(mode="before")
    @classmethod
    def _choose_result(cls, data: object) -> object:
        if isinstance(data, dict) and "http" in data and is_empty(data.get("result")):
            return {**data, "result": "json"}
        return data

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        forms = [name for name in ("template", "command", "http") if name in self.model_fields_set]
        if not forms:
            raise bad("nothing answers the operation", "add one of template, command or http")
        if len(forms) > 1:
            raise bad(f"{' and '.join(forms)} can't answer the same operation", "keep one", at=(forms[1],))
        if self.stream and self.command is None:
            raise bad("only a command can stream", "remove stream, or use command", at=("stream",))
        if self.http and self.result != "json":
            raise bad("an HTTP answer is always read as JSON", "remove result", at=("result",))
        if self.command is not None and not self.command[0]:
            raise bad("the program has no name", "write the program first", at=("command", 0))
        return self
