"""What the operators of an expression do. Pure: values in, a value out, or an `EvaluationFailed`."""

from collections.abc import Callable, Mapping

from fame_cli.security.functions import EvaluationFailed, bounded, kind_of

__all__ = ["OPERATORS", "compared", "truth"]


def truth(value: object) -> bool:
    """Return a condition's value; null is false.

    Raises:
        EvaluationFailed: it is neither true, false nor null: a text or number says nothing of the kind.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    raise EvaluationFailed(f"{kind_of(value)} where true or false is wanted")


def compared(left: object, right: object, *, is_null_meant: bool) -> bool:
    """Tell whether two values are equal: of one kind, and the same.

    Args:
        left, right: the values.
        is_null_meant: one of them is a null that was written as such; otherwise two absent values are no equals.
    """
    if left is None and right is None and not is_null_meant:
        raise EvaluationFailed("neither side of the comparison is there")
    return kind_of(left) == kind_of(right) and left == right


def _numbers(left: object, right: object, operator: str) -> tuple[float, float]:
    if _is_number(left) and _is_number(right):
        return left, right  # type: ignore[return-value]  # just checked; an int goes where a float is wanted
    raise EvaluationFailed(f"{kind_of(left)} {operator} {kind_of(right)} has no value")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(operator: str, test: Callable[[int], bool]) -> Callable[[object, object], bool]:
    def apply(left: object, right: object) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return test((left > right) - (left < right))
        one, other = _numbers(left, right, operator)
        return test((one > other) - (one < other))

    return apply


def _is_in(left: object, right: object) -> bool:
    """Tell whether a list has a value, or an object a member; nothing is in what isn't there."""
    if left is None or right is None:
        return False
    bounded(right)
    if isinstance(right, list):
        return any(compared(left, item, is_null_meant=True) for item in right)
    if isinstance(right, Mapping):
        return isinstance(left, str) and left in right
    raise EvaluationFailed(f"in wants a list, not {kind_of(right)}")


def _plus(left: object, right: object) -> object:
    if isinstance(left, str) and isinstance(right, str):
        return bounded(left + right)
    one, other = _numbers(left, right, "+")
    return bounded(one + other)


def _minus(left: object, right: object) -> object:
    one, other = _numbers(left, right, "-")
    return bounded(one - other)


def _times(left: object, right: object) -> object:
    one, other = _numbers(left, right, "*")
    return bounded(one * other)


def _divided(left: object, right: object) -> object:
    one, other = _numbers(left, right, "/")
    if not other:
        raise EvaluationFailed("a division by 0")
    return bounded(one / other)


def _remainder(left: object, right: object) -> object:
    one, other = _numbers(left, right, "%")
    if not other:
        raise EvaluationFailed("a division by 0")
    return bounded(one % other)


OPERATORS: dict[str, Callable[[object, object], object]] = {
    "<": _ordered("<", lambda sign: sign < 0),
    "<=": _ordered("<=", lambda sign: sign <= 0),
    ">": _ordered(">", lambda sign: sign > 0),
    ">=": _ordered(">=", lambda sign: sign >= 0),
    "in": _is_in,
    "not in": lambda left, right: not _is_in(left, right),
    "+": _plus,
    "-": _minus,
    "*": _times,
    "/": _divided,
    "%": _remainder,
}
"""By the way they are written; ``==`` and ``!=`` are `compared`."""
