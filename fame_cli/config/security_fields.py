"""The types of single values about security, as ``fields`` has those of all else; and where a named file is.

Pure. Secrets are text like all other; it is the name of their key that keeps them from being shown (``mask``).
"""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

from fame_cli.config import fields
from fame_cli.config.fields import bad
from fame_cli.core.glob import check_glob
from fame_cli.core.grant import ROLES
from fame_cli.errors import ConfigError

__all__ = ["FileName", "HostName", "Pattern", "Profile", "Role", "Token", "host_of", "located"]

_CALLBACK = frozenset({"gated-callback", "overlay-callback"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8158}")
"""What a handshake can carry: said again here, because ``net/handshake.py`` takes long to import."""


def host_of(url: str) -> str:
    """Return the host of a URL that has been checked, in lower case; an IPv6 host comes without its brackets."""
    return urlsplit(url).hostname or ""


def located(name: str, folder: Path) -> Path:
    """Return where a file is: its name may begin at a folder, at the root, or at somebody's home (``~``)."""
    try:
        return folder / Path(name).expanduser()
    except RuntimeError:  # there is nobody of that name
        return folder / name


def _profile(value: object) -> object:
    text = fields.lowercase(value)
    if isinstance(text, str) and text in _CALLBACK:
        raise bad("{value} has sentinels dial whom they were told to, which fame doesn't", f"use {text.split('-')[0]}")
    return text


def _pattern(value: object) -> object:
    text = fields.to_text(value)
    if isinstance(text, str):
        try:
            check_glob(text)
        except ConfigError as error:
            raise bad(f"{{value}} isn't a pattern: {error.message}", "use text with *, ** and ?") from None
    return text


def _role(value: object) -> object:
    text = fields.lowercase(value)
    if isinstance(text, str) and text not in ROLES:
        raise bad("{value} isn't a role", f"use {', '.join(ROLES)}")
    return text


def _host(value: str) -> str:
    host = value.lower()
    try:
        fields.split_listen(f"[{host}]:0" if ":" in host and host[0] != "[" else f"{host}:0")
    except ValueError:  # what it says is about listening
        raise bad("{value} isn't a host", "write it like 10.0.0.5 or s1.example, without scheme and port") from None
    return host.strip("[]")


def _file_name(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise bad("{value} can't name a file", "write its name")
    return value


def _token(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise bad("{value} isn't a token", "write the token alone; the name of a file goes into token_file")
    return value


Pattern = Annotated[str, BeforeValidator(_pattern)]
Role = Annotated[str, BeforeValidator(_role)]
Profile = Annotated[Literal["open", "gated", "overlay", "strict-overlay"], BeforeValidator(_profile)]
HostName = Annotated[fields.Plain, AfterValidator(_host)]
FileName = Annotated[fields.Plain, AfterValidator(_file_name)]
Token = Annotated[fields.Plain, AfterValidator(_token)]
