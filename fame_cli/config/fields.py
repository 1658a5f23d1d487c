"""The types of single configuration values: how text becomes a number, a switch, an address, an attach URL.

Pure, but that it looks whether a library is installed. Each type reads a `Text` (a scalar of a file, a variable or a
flag) or takes a ready Python value, and says what is wrong with the others in the words a user gets to see: ``{value}``
stands for the value, which `validate` fills in, masked if it is a secret. The sections that are made of these are in
``schema``.
"""

import math
import re
from collections.abc import Callable
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from fame_cli.config.document import NULLS, Text
from fame_cli.core import address
from fame_cli.errors import RemoteProtocolError

__all__ = [
    "Capability",
    "Flag",
    "HeaderText",
    "HttpUrl",
    "ImportText",
    "Json",
    "Listen",
    "LogicalAddress",
    "LogicalName",
    "Method",
    "NodeName",
    "Number",
    "OperationName",
    "PeerUrl",
    "Plain",
    "Transport",
    "UpstreamUrl",
    "VariableName",
    "Whole",
    "bad",
    "http_url",
    "is_loopback",
    "is_own_url",
    "lowercase",
    "natural",
    "split_listen",
    "to_number",
    "to_text",
    "to_whole",
]

PROBLEM = "fame"
"""Type of the pydantic errors made here; `validate` shows their ``what`` and ``hint`` as they are."""

_LONG = re.compile(r"[-+]?[0-9]{21,}")
_WHOLE = re.compile(r"[-+]?[0-9]{1,20}")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_PREFIXED = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,20}")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})
_IMPORT = re.compile(r"([^:]*/)?[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_ATTACH_PATH = re.compile(r"(/[^?#\s]*)?/fame/v1/attach/ws/(downstream|peer)", re.IGNORECASE)
_WORD = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,256}")
_ATTACH_EXAMPLE = "ws://127.0.0.1:8000/fame/v1/attach/ws/"


def bad(what: str, hint: str = "", *, at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """Return the error of a value.

    Args:
        what: what is wrong; ``{value}`` stands for the value.
        hint: what to do.
        at: path below the place where the check runs, when a section's check means one of its fields.
    """
    return PydanticCustomError(PROBLEM, "{what}", {"what": what, "hint": hint, "at": at})


def to_text(value: object) -> object:
    """Take any scalar as the text it is written as: a plain ``on`` or ``12`` is text where text is wanted."""
    return str(value) if isinstance(value, Text) else value


def _typed(value: Text, wanted: str) -> str:
    if not value.is_typed:
        raise bad("{value} is text, because it is in quotes", f"write {wanted} without quotes")
    return str(value).strip()


def to_whole(value: object) -> object:
    """Read a whole number."""
    if isinstance(value, Text):
        text = _typed(value, "the number")
        if not _WHOLE.fullmatch(text):
            raise bad("{value} isn't a whole number", "write digits only, e.g. 64")
        return int(text)
    if isinstance(value, bool | float):
        raise bad("{value} isn't a whole number", "write digits only, e.g. 64")
    return value


def to_number(value: object) -> object:
    """Read a number; never infinite, never not-a-number."""
    if isinstance(value, Text):
        text = _typed(value, "the number")
        number = float(text) if _NUMBER.fullmatch(text) else math.inf
        if not math.isfinite(number):
            raise bad("{value} isn't a number", "write it like 30 or 0.5")
        return number
    if isinstance(value, bool):
        raise bad("{value} isn't a number", "write it like 30 or 0.5")
    return value


def to_flag(value: object) -> object:
    """Read a switch: true or false, also yes/no and on/off, and 1/0 from a variable."""
    if not isinstance(value, Text):
        return value
    text = _typed(value, "true or false").lower()
    if text in _TRUE or (text == "1" and value.is_interpolated):
        return True
    if text in _FALSE or (text == "0" and value.is_interpolated):
        return False
    raise bad("{value} isn't true or false", "write true or false")


def natural(value: object) -> object:
    """Read a value whose place has no type of its own (``init``, ``default``) as YAML 1.2 does; quotes mean text."""
    if isinstance(value, dict):
        return {key: natural(item) for key, item in value.items()}
    if isinstance(value, list):
        return [natural(item) for item in value]
    if not isinstance(value, Text):
        return value
    text = str(value)
    if not value.is_plain:
        return text
    if text in NULLS:
        return None
    if text.lower() in ("true", "false") and text in (text.lower(), text.upper(), text.capitalize()):
        return text.lower() == "true"
    if _WHOLE.fullmatch(text):
        return int(text)
    if _PREFIXED.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if (
        _NOT_FINITE.fullmatch(text)
        or _LONG.fullmatch(text)
        or (_NUMBER.fullmatch(text) and not math.isfinite(float(text)))
    ):
        raise bad("{value} is no number that JSON carries", "put it in quotes to make it text")
    return float(text) if _NUMBER.fullmatch(text) else text


def lowercase(value: object) -> object:
    """Read one of a few words without regard to case."""
    text = to_text(value)
    return text.lower() if isinstance(text, str) else text


def _uppercase(value: object) -> object:
    text = to_text(value)
    return text.upper() if isinstance(text, str) else text


def _matching(pattern: re.Pattern[str], what: str, hint: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise bad(what, hint)
        return value

    return check


def _node_name(value: str) -> str:
    if not address.is_node_id(value):
        raise bad("{value} can't be a node id", "use 1-128 letters, digits, dots, dashes and underscores")
    return value


def split_listen(value: str) -> tuple[str, int]:
    """Split ``host:port``; an IPv6 host comes without its brackets.

    Raises:
        PydanticCustomError: it isn't of that form.
    """
    host, colon, port = value.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise bad("{value} isn't host:port with a port of 0-65535", "write it like 127.0.0.1:8000")
    if host.startswith("[") and host.endswith("]") and _is_ip(host[1:-1], 6):
        return host[1:-1], int(port)
    if not _HOST_NAME.fullmatch(host):
        raise bad("{value} has no host this node could listen on", "write it like 127.0.0.1:8000 or [::1]:8000")
    return host, int(port)


def _listen(value: str) -> str:
    split_listen(value)
    return value


def _is_ip(host: str, version: Literal[4, 6]) -> bool:
    try:
        return ip_address(host).version == version
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host: localhost, 127.0.0.0/8 or ::1."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_own_url(url: str, listen: str) -> bool:
    """Tell whether a URL leads back to a node listening at `listen`; neither has to be valid."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
        own_host, own_port = split_listen(listen)
    except (ValueError, PydanticCustomError):
        return False
    if port != own_port or not own_port:
        return False
    return host == own_host.lower() or (is_loopback(host) and (own_host in ("0.0.0.0", "::") or is_loopback(own_host)))


def _split_url(value: str, schemes: tuple[str, ...], example: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        is_whole = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        raise bad("{value} isn't a URL", f"write it like {example}") from None
    if parts.scheme not in schemes:
        raise bad(
            f"{{value}} doesn't begin with {' or '.join(f'{scheme}://' for scheme in schemes)}",
            f"write it like {example}",
        )
    host = parts.hostname or ""
    if not is_whole or not (_HOST_NAME.fullmatch(host) or _is_ip(host, 6)) or not _WORD.fullmatch(value):
        raise bad("{value} has no valid host and port", f"write it like {example}")
    return parts


def _attach_url(kind: Literal["downstream", "peer"]) -> Callable[[str], str]:
    example = _ATTACH_EXAMPLE + kind

    def check(value: str) -> str:
        parts = _split_url(value, ("ws", "wss"), example)
        if "@" in parts.netloc:
            raise bad("{value} has a user name in it, which attaching doesn't use", "take out what stands before the @")
        match = _ATTACH_PATH.fullmatch(parts.path)
        if match is None or parts.query or parts.fragment:
            raise bad("{value} isn't an attach URL", f"write it like {example}, without the node id")
        if match.group(2).lower() != kind:
            raise bad(f"{{value}} attaches as {match.group(2).lower()}, not as {kind}", f"let it end in /{kind}")
        return value

    return check


def http_url(value: str) -> str:
    """Check a URL that a server is asked at.

    Raises:
        PydanticCustomError: it isn't one.
    """
    _split_url(value, ("http", "https"), "http://127.0.0.1:8080/path")
    return value


def _logical_address(value: str) -> str:
    try:
        parsed = address.parse(value)
    except RemoteProtocolError:
        raise bad("{value} isn't an address", "write name@host, e.g. math1@fame.fabric") from None
    if not parsed.host or parsed.path:
        raise bad(
            "{value} is a place in the fabric, not a name for an agent", "write name@host, e.g. math1@fame.fabric"
        )
    if parsed.participant.startswith("__"):
        raise bad("{value} begins with __, which is kept for the fabric itself", "choose another name")
    return value


def _logical_name(value: str) -> str:
    try:
        is_host = value == "*" or address.parse(f"x@{value}").host == value
    except RemoteProtocolError:
        is_host = False
    if not is_host:
        raise bad("{value} isn't a logical name", "write it like fame.fabric or *.fame.fabric")
    return value


def _import_text(value: str) -> str:
    if not _IMPORT.fullmatch(value):
        raise bad("{value} isn't module:Class or module:function", "write it like math_agent1:MathAgent")
    return value


def _operation_name(value: str) -> str:
    if not _WORD.fullmatch(value) or len(value) > 128:
        raise bad("{value} can't name an operation", "use up to 128 characters without spaces")
    if value.startswith("agent."):
        raise bad("{value} begins with agent., which is kept for the fabric itself", "choose another name")
    return value


def _installed(transport: str) -> str:
    if transport == "picows" and find_spec("picows") is None:
        raise bad("picows isn't installed", "install the extra `fast` (pip install picows), or use websockets")
    return transport


Plain = Annotated[str, BeforeValidator(to_text)]
"""Any text."""

Whole = Annotated[int, BeforeValidator(to_whole)]
Number = Annotated[float, BeforeValidator(to_number)]
Flag = Annotated[bool, BeforeValidator(to_flag)]
Json = Annotated[JsonValue, BeforeValidator(natural)]

NodeName = Annotated[Plain, AfterValidator(_node_name)]
Listen = Annotated[Plain, AfterValidator(_listen)]
UpstreamUrl = Annotated[Plain, AfterValidator(_attach_url("downstream"))]
PeerUrl = Annotated[Plain, AfterValidator(_attach_url("peer"))]
HttpUrl = Annotated[Plain, AfterValidator(http_url)]
LogicalAddress = Annotated[Plain, AfterValidator(_logical_address)]
LogicalName = Annotated[Plain, AfterValidator(_logical_name)]
Capability = Annotated[
    Plain,
    AfterValidator(_matching(_WORD, "{value} can't name a capability", "use up to 256 characters without spaces")),
]
ImportText = Annotated[Plain, AfterValidator(_import_text)]
OperationName = Annotated[Plain, AfterValidator(_operation_name)]
VariableName = Annotated[
    Plain,
    AfterValidator(
        _matching(
            re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
            "{value} can't name a variable",
            "use letters, digits and underscores",
        )
    ),
]
HeaderText = Annotated[
    Plain,
    AfterValidator(
        _matching(re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*"), "{value} can't stand in a header", "remove line breaks")
    ),
]

Transport = Annotated[Literal["auto", "websockets", "picows"], BeforeValidator(lowercase), AfterValidator(_installed)]
Method = Annotated[
    Literal["GET", "POST", "PUT", "PATCH", "DELETE"], BeforeValidator(_uppercase), Field(validate_default=False)
]
