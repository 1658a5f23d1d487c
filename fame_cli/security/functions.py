"""The functions an expression may call (security.md 8): each takes the facts and its arguments, and changes nothing.

Pure. What isn't there (null) has no property: asked for one, a function says false, or null again where it makes one
text of another. Whatever else can't be worked out is an `EvaluationFailed`, which denies.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

from fame_cli.core.glob import check_glob, glob_matches
from fame_cli.core.ids import ALPHABET
from fame_cli.errors import ConfigError, FameError
from fame_cli.security.facts import LEVELS, Facts

__all__ = ["FUNCTIONS", "MAX_ARGUMENTS", "MAX_ITEMS", "MAX_TEXT", "EvaluationFailed", "Function", "bounded"]

MAX_TEXT = 1024
"""Characters of a text that an expression looks at."""

MAX_ITEMS = 64
"""Items of a list that an expression looks at."""

MAX_ARGUMENTS = 16
"""Of one call."""

_MAX_NUMBER = 2**63
_HASH_CHARACTERS = 16


class EvaluationFailed(FameError):
    """Say why an expression has no value; whoever asked denies."""

    wire_code = "UNAUTHORIZED"


class Function(NamedTuple):
    """Hold one function and how many arguments it takes.

    Args:
        run: takes the facts and the arguments.
        least: arguments at least.
        most: arguments at most.
    """

    run: Callable[..., object]
    least: int
    most: int


def bounded(value: object) -> object:
    """Return a value if it isn't larger than an expression may look at.

    Raises:
        EvaluationFailed: a text, list or number past its limit.
    """
    match value:
        case str() if len(value) > MAX_TEXT:
            raise EvaluationFailed(f"a text of more than {MAX_TEXT} characters")
        case list() if len(value) > MAX_ITEMS:
            raise EvaluationFailed(f"a list of more than {MAX_ITEMS} items")
        case int() | float() if not -_MAX_NUMBER < value < _MAX_NUMBER:
            raise EvaluationFailed("a number that is too large")
    return value


def _text(value: object, function: str) -> str:
    if isinstance(value, str):
        return value
    raise EvaluationFailed(f"{function} wants a text, not {kind_of(value)}")


def kind_of(value: object) -> str:
    """Say what a value is, never what it holds: claims are nobody's business."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def _lower(facts: Facts, value: object) -> object:
    return None if value is None else bounded(_text(value, "lower").lower())


def _upper(facts: Facts, value: object) -> object:
    return None if value is None else bounded(_text(value, "upper").upper())


def _trim(facts: Facts, value: object) -> object:
    return None if value is None else _text(value, "trim").strip()


def _split(facts: Facts, value: object, separator: object) -> object:
    if value is None:
        return None
    between = _text(separator, "split")
    if not between:
        raise EvaluationFailed("split wants a separator that isn't empty")
    return bounded(_text(value, "split").split(between, MAX_ITEMS + 1))


def _starts_with(facts: Facts, value: object, prefix: object) -> bool:
    if value is None or prefix is None:
        return False
    return _text(value, "starts_with").startswith(_text(prefix, "starts_with"))


def _ends_with(facts: Facts, value: object, suffix: object) -> bool:
    if value is None or suffix is None:
        return False
    return _text(value, "ends_with").endswith(_text(suffix, "ends_with"))


def _contains(facts: Facts, value: object, part: object) -> bool:
    if value is None or part is None:
        return False
    if isinstance(value, list):
        return any(part == item and isinstance(part, bool) == isinstance(item, bool) for item in value)
    return _text(part, "contains") in _text(value, "contains")


def _len(facts: Facts, value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, str | list | Mapping):
        return len(value)
    raise EvaluationFailed(f"len wants a text or a list, not {kind_of(value)}")


def _exists(facts: Facts, value: object) -> bool:
    return value is not None


def _coalesce(facts: Facts, *values: object) -> object:
    return next((value for value in values if value is not None), None)


def _secure_hash(facts: Facts, value: object, length: object = _HASH_CHARACTERS) -> str | None:
    if value is None:
        return None
    if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= 43:
        raise EvaluationFailed("secure_hash wants a length of 1 to 43 characters")
    number = int.from_bytes(sha256(_text(value, "secure_hash").encode("utf-8", "surrogatepass")).digest(), "big")
    digits: list[str] = []
    while number:
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))[:length]


def _glob_match(facts: Facts, value: object, pattern: object) -> bool:
    if value is None or pattern is None:
        return False
    text, wanted = _text(value, "glob_match"), _text(pattern, "glob_match")
    try:
        check_glob(wanted)
    except ConfigError as error:
        raise EvaluationFailed("glob_match wants a pattern of *, ** and ?") from error  # the pattern may be a claim's
    return glob_matches(wanted, text)


def _wanted_scopes(values: tuple[object, ...], function: str) -> list[str]:
    """Return the scopes that were asked for, as arguments or as one list; what isn't there is no scope."""
    flat = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return [_text(value, function) for value in flat if value is not None]


def _has(facts: Facts, scope: str) -> bool:
    return scope in facts.scopes


def _has_scope(facts: Facts, scope: object) -> bool:
    return scope is not None and _has(facts, _text(scope, "has_scope"))


def _has_any_scope(facts: Facts, *scopes: object) -> bool:
    return any(_has(facts, scope) for scope in _wanted_scopes(scopes, "has_any_scope"))


def _has_all_scopes(facts: Facts, *scopes: object) -> bool:
    """Tell whether all are there; of none, or of one that is null, nobody can say so."""
    wanted = _wanted_scopes(scopes, "has_all_scopes")
    given = scopes[0] if len(scopes) == 1 and isinstance(scopes[0], list) else scopes
    return bool(wanted) and len(wanted) == len(given) and all(_has(facts, scope) for scope in wanted)


def _is_encrypted_at_least(facts: Facts, level: object) -> bool:
    wanted = _text(level, "is_encrypted_at_least")
    if wanted not in LEVELS:
        raise EvaluationFailed(f"is_encrypted_at_least wants {', '.join(LEVELS)}")
    return facts.encrypted in LEVELS[LEVELS.index(wanted) :]


FUNCTIONS = {
    "lower": Function(_lower, 1, 1),
    "upper": Function(_upper, 1, 1),
    "trim": Function(_trim, 1, 1),
    "split": Function(_split, 2, 2),
    "starts_with": Function(_starts_with, 2, 2),
    "ends_with": Function(_ends_with, 2, 2),
    "contains": Function(_contains, 2, 2),
    "len": Function(_len, 1, 1),
    "exists": Function(_exists, 1, 1),
    "coalesce": Function(_coalesce, 1, MAX_ARGUMENTS),
    "secure_hash": Function(_secure_hash, 1, 2),
    "glob_match": Function(_glob_match, 2, 2),
    "has_scope": Function(_has_scope, 1, 1),
    "has_any_scope": Function(_has_any_scope, 1, MAX_ARGUMENTS),
    "has_all_scopes": Function(_has_all_scopes, 1, MAX_ARGUMENTS),
    "is_signed": Function(lambda facts: facts.signed, 0, 0),
    "is_encrypted": Function(lambda facts: facts.encrypted != LEVELS[0], 0, 0),
    "encryption_level": Function(lambda facts: facts.encrypted, 0, 0),
    "is_encrypted_at_least": Function(_is_encrypted_at_least, 1, 1),
}
"""By name; ``regex_match`` is `expression`'s, because its pattern is compiled when it is read."""
