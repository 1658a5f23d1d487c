"""The home folder: the fabric's authority, the keys of this machine's nodes, and the tokens that were taken back.

::

    authority.json       private key of the authority         0600
    authority.pub.json   its public keys, old ones with `exp`  0644: copy it to where tokens are only verified
    keys/<id>.json       private keys of a node               0600
    revoked.json         ids of tokens taken back             0600

Files are written whole or not at all, one process at a time. Nothing of a private key gets into a message.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fame_cli.core.address import is_node_id
from fame_cli.errors import ConfigError, UsageError
from fame_cli.security.authority import LONGEST_TTL_S, Authority
from fame_cli.security.files import PRIVATE, PUBLIC, locked, make_folder, read_json, write_json
from fame_cli.security.jwk import Jwk, NodeKeys, generate, load, load_signing

__all__ = ["NODE_HONOUR_S", "Home", "NodeRecord", "home_folder"]

NODE_HONOUR_S = 86_400.0
"""Seconds for which the old public key of a node is kept after a rotation."""

LOOK_AGAIN_S = 1.0
"""Seconds between two looks at whether a file has changed."""

_AUTHORITY, _PUBLIC_KEYS, _REVOKED = "authority.json", "authority.pub.json", "revoked.json"


def home_folder(env: Mapping[str, str]) -> Path:
    """Return where authority and keys are: ``FAME_HOME``, else ``fame`` in the user's folder of configuration.

    Raises:
        ConfigError: nothing says where the user's folder is.
    """
    if env.get("FAME_HOME"):
        return Path(env["FAME_HOME"]).expanduser()
    if env.get("XDG_CONFIG_HOME"):
        return Path(env["XDG_CONFIG_HOME"], "fame")
    if env.get("HOME"):
        return Path(env["HOME"], ".config", "fame")
    raise ConfigError("no home folder", source="FAME_HOME", hint="set it to a folder of your own")


class NodeRecord(NamedTuple):
    """Hold what the home knows of a node: its keys, when they were made, and old public ones with `exp`."""

    keys: NodeKeys
    made_at: float
    retired: list[Jwk]


class _Watched:
    """Read a file again when it has changed, looked for at most every `LOOK_AGAIN_S`."""

    def __init__(self, path: Path, mode: int, clock: Callable[[], float]) -> None:
        self._path = path
        self._mode = mode
        self._clock = clock
        self._looked_at: float | None = None
        self._stamp: tuple[int, ...] | None = None
        self._document: Any = None

    def read(self) -> Any:
        """Return the document, the same object for as long as the file stays the same; None where there is none."""
        now = self._clock()
        if self._looked_at is not None and 0 <= now - self._looked_at < LOOK_AGAIN_S:
            return self._document
        try:
            found = self._path.stat()
            stamp: tuple[int, ...] = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            stamp = ()
        if stamp != self._stamp:
            self._document = read_json(self._path, self._mode) if stamp else None
            self._stamp = stamp
        self._looked_at = now
        return self._document

    def look_again(self) -> None:
        """Look at the file at the next reading, however soon that is."""
        self._looked_at = None


class Home:
    """Keep what belongs to this machine: made when it is first needed, private to its owner."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        """Take the folder, which need not be there yet.

        Args:
            root: see `home_folder`.
            clock: seconds since the epoch.
        """
        self.root = root
        self._clock = clock
        self._public = _Watched(root / _PUBLIC_KEYS, PUBLIC, clock)
        self._taken_back = _Watched(root / _REVOKED, PRIVATE, clock)
        self._revoked_from: Any = None
        self._revoked: frozenset[str] = frozenset()
        self._keys_from: Any = None
        self._keys: list[Jwk] = []

    # --- the authority ---

    def authority(self) -> Authority | None:
        """Return the fabric's authority; None if its private key isn't here.

        Raises:
            ConfigError: the file can't be read, others can read it, or it holds no such key.
        """
        path = self.root / _AUTHORITY
        jwk = read_json(path, PRIVATE)
        if jwk is None:
            return None
        try:
            made_at = float(jwk["iat"])
            return Authority(load_signing(jwk), fabric=str(jwk["fabric"]), issuer=str(jwk["iss"]), made_at=made_at)
        except (KeyError, TypeError, ValueError):
            hint = "make a new one: fame keys init --force"
            raise ConfigError("not the key of an authority", source=str(path), hint=hint) from None

    def authority_keys(self) -> list[Jwk]:
        """Return the public keys of whoever may issue tokens here; those with `exp` are honoured until then.

        The same list for as long as the file stays the same, which is looked at once a second.

        Raises:
            ConfigError: the file can't be read, or others can change it.
        """
        document = self._public.read()
        if document is not self._keys_from:
            keys = document.get("keys") if isinstance(document, dict) else None
            if document is not None and not isinstance(keys, list):
                raise ConfigError("not a JWKS", source=str(self.root / _PUBLIC_KEYS))
            self._keys = [jwk for jwk in keys or [] if isinstance(jwk, dict)]
            self._keys_from = document
        return self._keys

    def look_again(self) -> None:
        """Have `authority_keys` look at once whether the file has changed; it is read only if it has."""
        self._public.look_again()

    def fabric(self) -> str:
        """Return the name of the fabric whose public keys are here; "" if there are none."""
        document = self._public.read()
        return str(document.get("fabric", "")) if isinstance(document, dict) else ""

    def make_authority(self, fabric: str, *, force: bool = False) -> Authority:
        """Make the authority of a fabric.

        Args:
            force: replace the one that is here; its tokens are no longer good then.

        Raises:
            UsageError: there is one already.
            ConfigError: the folder can't be written to.
        """
        make_folder(self.root)
        with locked(self.root):
            there = [name for name in (_AUTHORITY, _PUBLIC_KEYS) if (self.root / name).exists()]
            if there and not force:
                hint = "see it: fame keys show; a new key: fame keys rotate --authority; a new fabric: --force"
                raise UsageError(f"{self.root / there[0]} is there already", hint=hint)
            made = Authority(generate().signing, fabric=fabric, made_at=self._clock())
            self._write_authority(made, [])
        return made

    def rotate_authority(self, honour_s: float = LONGEST_TTL_S) -> Authority:
        """Give the authority a new key under its old name.

        Args:
            honour_s: seconds for which tokens of the old key are still good, >= 0.

        Raises:
            UsageError: there is no authority here.
            ConfigError: its files can't be read or written.
        """
        make_folder(self.root)
        with locked(self.root):
            old = self.authority()
            if old is None:
                raise UsageError(f"no authority in {self.root}", hint="make one: fame keys init")
            now = self._clock()
            self._public.look_again()
            kept = [jwk for jwk in self.authority_keys() if jwk.get("kid") != old.kid and jwk.get("exp", now + 1) > now]
            retired = [{**jwk, "exp": int(now + honour_s)} for jwk in old.public_jwks]
            made = Authority(generate().signing, fabric=old.fabric, issuer=old.issuer, made_at=now)
            self._write_authority(made, [*retired, *kept])
        return made

    def _write_authority(self, made: Authority, others: list[Jwk]) -> None:
        # The public keys first: a token must never be out before whoever verifies can know its key.
        public = {"fabric": made.fabric, "keys": [*made.public_jwks, *others]}
        write_json(self.root / _PUBLIC_KEYS, public, PUBLIC)
        write_json(self.root / _AUTHORITY, made.private_jwk(), PRIVATE)
        self._public.look_again()

    # --- nodes ---

    def node_keys(self, node_id: str, create: bool = True) -> NodeKeys:
        """Return the keys of a node, made now if it has none.

        Raises:
            UsageError: it has none and `create` isn't set.
            ConfigError: their file can't be read or written, or others can read it.
        """
        found = self.node(node_id)
        if found is not None:
            return found.keys
        if not create:
            raise UsageError(f"no keys of {node_id} in {self.root}", hint="see what there is: fame keys show")
        with self._changing_keys():
            found = self.node(node_id)  # somebody else may have made them meanwhile
            return found.keys if found is not None else self._write_node(node_id, [])

    def node(self, node_id: str) -> NodeRecord | None:
        """Return what the home knows of a node; None for nothing.

        Raises:
            ConfigError: as `node_keys`.
        """
        path = self._path_of(node_id)
        document = read_json(path, PRIVATE)
        if document is None:
            return None
        try:
            if document["node"] != node_id:  # on a disk that doesn't tell upper from lower case
                raise ConfigError(f"keys of {document['node']}, not of {node_id}", source=str(path))
            now = self._clock()
            retired = [jwk for jwk in document.get("retired", []) if jwk["exp"] > now]
            return NodeRecord(load(document["keys"]), float(document["made_at"]), retired)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ConfigError("not the keys of a node", source=str(path), hint=f"remove {path}") from None

    def nodes(self) -> list[str]:
        """Return the ids of all nodes with keys here, sorted."""
        return sorted(path.stem for path in (self.root / "keys").glob("*.json"))

    def rotate_node(self, node_id: str, honour_s: float = NODE_HONOUR_S) -> NodeKeys:
        """Give a node new keys and keep its old public ones for a while.

        Args:
            honour_s: seconds for which what the old key signed may still be verified, >= 0.

        Raises:
            UsageError: it has no keys here.
            ConfigError: as `node_keys`.
        """
        with self._changing_keys():
            old = self.node(node_id)
            if old is None:
                raise UsageError(f"no keys of {node_id} in {self.root}", hint="see what there is: fame keys show")
            until = int(self._clock() + honour_s)
            return self._write_node(node_id, [*({**jwk, "exp": until} for jwk in old.keys.public_jwks()), *old.retired])

    def _changing_keys(self) -> Any:
        make_folder(self.root)
        make_folder(self.root / "keys")
        return locked(self.root)

    def _write_node(self, node_id: str, retired: list[Jwk]) -> NodeKeys:
        keys = generate()
        document = {
            "node": node_id,
            "made_at": int(self._clock()),
            "keys": keys.private_jwks(),
            "retired": retired,
        }
        write_json(self._path_of(node_id), document, PRIVATE)
        return keys

    def _path_of(self, node_id: str) -> Path:
        if not is_node_id(node_id):
            raise UsageError(f"{node_id!r} is no node id", hint="use 1-128 letters, digits, '.', '_', '-'")
        return self.root / "keys" / f"{node_id}.json"

    # --- tokens taken back ---

    def revoked(self, token_id: str) -> bool:
        """Tell whether a token is taken back; the file is looked at once a second at most.

        Raises:
            ConfigError: the file can't be read: then nobody knows.
        """
        document = self._taken_back.read()
        if document is not self._revoked_from:
            self._revoked = frozenset(each["jti"] for each in _entries(document, self.root / _REVOKED))
            self._revoked_from = document
        return token_id in self._revoked

    def revoke(self, token_id: str, expires_at: float | None = None) -> None:
        """Take a token back.

        Args:
            token_id: its `jti`.
            expires_at: when it would have ended, seconds since the epoch; it is forgotten after that. None if unknown.

        Raises:
            ConfigError: the file can't be read or written.
        """
        path = self.root / _REVOKED
        make_folder(self.root)
        with locked(self.root):
            now = self._clock()
            entries = [
                each
                for each in _entries(read_json(path, PRIVATE), path)
                if each["jti"] != token_id and each.get("exp", now + 1) > now
            ]
            entry = {"jti": token_id} if expires_at is None else {"jti": token_id, "exp": int(expires_at) + 1}
            write_json(path, {"revoked": [*entries, entry]}, PRIVATE)
            self._taken_back.look_again()


def _entries(document: Any, path: Path) -> list[dict[str, Any]]:
    if document is None:
        return []
    try:
        entries = list(document["revoked"])
        if not all(isinstance(each["jti"], str) for each in entries):
            raise TypeError
    except (KeyError, TypeError):
        raise ConfigError("not a list of revoked tokens", source=str(path)) from None
    return entries
