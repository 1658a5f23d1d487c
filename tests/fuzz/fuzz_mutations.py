"""Changes to what is fuzzed that leave it readable: bytes changed at random seldom get beyond the first parser."""

import json
from random import Random

from neighbour_rig import HOSTILE

__all__ = ["mutated"]

Place = tuple[dict[str, object], str] | tuple[list[object], int]


def mutated(data: bytes, random: Random, others: list[bytes]) -> bytes:
    """Change one line of JSON, or take one of another input; what isn't JSON stays as it is.

    Args:
        data: a byte that names a door, then lines; or JSON, or text, as the target has it.
        random: what decides.
        others: inputs that parts are taken from.
    """
    lines = data.split(b"\n")
    number = random.randrange(len(lines))
    begin = 1 if number == 0 and data[:1] not in (b"{", b"[") else 0
    head, line = lines[number][:begin], lines[number][begin:]
    if others and random.random() < 0.2:
        taken = random.choice(random.choice(others).split(b"\n"))
        lines.insert(number + 1, taken[0 if taken[:1] == b"{" else 1 :])
        return b"\n".join(lines)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return data
    for _ in range(random.choice((1, 1, 2, 4))):
        _change(value, random)
    try:
        lines[number] = head + json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return data
    return b"\n".join(lines)


def _change(value: object, random: Random) -> None:
    """Change one place of a JSON value."""
    places = _places(value)
    if not places:
        return
    holder, key = random.choice(places)
    what = random.random()
    if isinstance(holder, list):
        assert isinstance(key, int)
        if what < 0.2:
            del holder[key]
        elif what < 0.4:
            holder.insert(key, holder[key])
        else:
            holder[key] = _other(holder[key], places, random)
        return
    assert isinstance(key, str)
    if what < 0.15:
        del holder[key]
    elif what < 0.25:
        holder[str(random.choice(places)[1])] = holder[key]
    else:
        holder[key] = _other(holder[key], places, random)


def _other(value: object, places: list[Place], random: Random) -> object:
    """Return a value for the place of another: hostile, from elsewhere, or nearly the same."""
    what = random.random()
    if what < 0.4:
        return json.loads(json.dumps(random.choice(HOSTILE)))  # a copy: it may be changed again
    if what < 0.6:
        holder, key = random.choice(places)
        return json.loads(json.dumps(holder[key]))  # type: ignore[index]  # a key of this holder
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return [value]
    if isinstance(value, str):
        at = random.randrange(len(value) + 1)
        return value[:at] + random.choice(("", "x", "*", "/", "@", ".", "\0", "é", "__", "~", "0")) + value[at + 1 :]
    return random.choice((value + 1, -value, value * 2**31, 0, float(value)))


def _places(value: object) -> list[Place]:
    """Return where something stands in a JSON value."""
    found: list[Place] = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            found += [(here, key) for key in here]
            waiting += here.values()
        elif isinstance(here, list):
            found += [(here, index) for index in range(len(here))]
            waiting += here
    return found
