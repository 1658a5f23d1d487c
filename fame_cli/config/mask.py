"""What must not be shown: which names stand for secrets, and what to print in their place.

Pure. Used by everything that repeats a configuration value to a person: error lines and ``fame config show``.
"""

import re

__all__ = ["MASK", "is_secret_name", "mask_text"]

MASK = "***"

_SECRET_NAME = re.compile(
    r"secret|token(?!s|_file|_url)|passw|passphrase|api[_-]?key|access[_-]?key|private[_-]?key|credential|authorization|cookie"
    r"|bearer|hmac",
    re.IGNORECASE,
)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_AUTH_SCHEME = re.compile(r"\b(Bearer|Basic)\s+[^\s\"']+", re.IGNORECASE)
_QUERY = re.compile(r"(?<=[?&])([^=&\s]+)=([^&\s#]+)")


def is_secret_name(name: str) -> bool:
    """Tell whether a key or variable of this name holds a secret, e.g. ``API_TOKEN`` or ``X-Api-Key``."""
    return bool(_SECRET_NAME.search(name))


def _mask_query(match: re.Match[str]) -> str:
    name = match.group(1)
    return f"{name}={MASK}" if is_secret_name(name) else match.group()


def mask_text(text: str) -> str:
    """Mask the secrets that a text gives away by its form: URL credentials, ``Bearer …``, ``?token=…``."""
    text = _URL_CREDENTIALS.sub(MASK, text)
    text = _AUTH_SCHEME.sub(rf"\1 {MASK}", text)
    return _QUERY.sub(_mask_query, text)
