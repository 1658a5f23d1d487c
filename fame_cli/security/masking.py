"""What must not get into the audit log, and what stands in its place. Pure, but for a key that is drawn once.

A fact is masked by its name (``token``, ``client_secret``) or by what it looks like: a JWT, a PEM block, credentials of
a URL or header, or a run of 32 characters or more as base64 and hex have them. Masking too much is the harmless
mistake: a mask keeps a tag, the same for the same text within one process, so that lines can still be matched.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from secrets import token_bytes

__all__ = ["MAX_TEXT", "SECRET_NAMES", "masked", "masked_facts"]

SECRET_NAMES = frozenset(
    ["token", "tokens", "key", "keys", "payload", "secret", "secrets", "password", "passphrase", "proof", "credential"]
)
"""Words in the name of a member that is left out altogether; ``kid`` and ``jti`` name what they stand for."""

MAX_TEXT = 512
"""Characters of one text in the log."""

_MAX_LOOKED_AT = 4096
_MAX_ITEMS = 64
_MAX_DEPTH = 4
_LARGEST = 2**63

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET = re.compile(
    r"""-----BEGIN\ .*?(?:-----END\ [^-]*-----|\Z)
      | eyJ[\w=-]*(?:\.[\w=-]*)*
      | (?<=://)[^/@\s]+(?=@)
      | (?i:\b(?:bearer|basic|dpop)\s+\S+)
      | (?i:(?:token|secret|password|key|proof|code|assertion)=[^&\s]+)
      | [A-Za-z0-9+/_=-]{32,}
    """,
    re.VERBOSE | re.DOTALL,
)
_TAIL = re.compile(r"[\w+/=.-]*\Z")
_TAG_KEY = token_bytes(16)


def masked(text: str) -> str:
    """Return a text without what looks like a secret, cut to `MAX_TEXT` characters."""
    if len(text) > _MAX_LOOKED_AT:
        text = _TAIL.sub("", text[:_MAX_LOOKED_AT]) + "…"  # half a secret wouldn't look like one
    text = _SECRET.sub(_tag, text)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _tag(match: re.Match[str]) -> str:
    digest = blake2b(match[0].encode("utf-8", "surrogatepass"), digest_size=3, key=_TAG_KEY)
    return f"***{digest.hexdigest()}"


def masked_facts(facts: Mapping[str, object]) -> dict[str, object]:
    """Return facts as JSON values, with members of secret names left out and everything else masked."""
    return _members(facts, 1)


def _members(facts: Mapping[object, object] | Mapping[str, object], depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in list(facts.items())[:_MAX_ITEMS]:
        words = {word.lower() for word in _WORD.findall(str(name))}
        if words.isdisjoint(SECRET_NAMES):
            found[masked(str(name))] = _value(value, depth)
    return found


def _value(value: object, depth: int) -> object:
    match value:
        case None | bool():
            return value
        case int():
            return value if -_LARGEST < value < _LARGEST else "a large number"
        case float():
            return value if -_LARGEST < value < _LARGEST else str(value)
        case str():
            return masked(value)
        case bytes() | bytearray() | memoryview():
            return f"{len(value)} bytes"
        case _ if depth == _MAX_DEPTH:
            return "…"
        case Mapping():
            return _members(value, depth + 1)
        case list() | tuple():
            return [_value(item, depth + 1) for item in value[:_MAX_ITEMS]]
        case set() | frozenset():
            return [_value(item, depth + 1) for item in sorted(value, key=str)[:_MAX_ITEMS]]
        case _:
            return type(value).__name__
