"""Several processes behind one port: their ids, who of them dials whom, and what they and their supervisor say.

Pure. Each worker is a sentinel of the mesh with an id of its own, linked to each other worker by a link through a door
that only this machine can reach. ``supervisor.py`` starts them and answers every `Report` with `Orders`;
``siblings.py`` is the other end, in the worker. Either message is the whole state, so the last one counts.
"""

from collections.abc import Iterable, Mapping

import msgspec

__all__ = ["Door", "Orders", "Report", "dials", "may_listen", "orders", "worker_id"]

FIRST = 1
"""The worker that has the sentinel's own id, its peers and its parent."""


class Door(msgspec.Struct, frozen=True):
    """Say where a worker takes links of its siblings: its id as it is now, and ``host:port``."""

    node_id: str
    place: str


class Report(msgspec.Struct, frozen=True):
    """Say how a worker is.

    Args:
        door: where it takes links of the others.
        listen: ``host:port`` it shares with the others, "" until it takes links there.
        linked: numbers of the others that it holds a link with.
        is_ready: everything its config names has been attached.
        has_upstream: its parent is attached, or it has none.
    """

    door: Door
    listen: str = ""
    linked: tuple[int, ...] = ()
    is_ready: bool = False
    has_upstream: bool = True


class Orders(msgspec.Struct, frozen=True):
    """Say what a worker is to know of the others.

    Args:
        doors: those that live, itself among them, by number.
        may_listen: it is linked with all of them, so that whoever attaches to it finds everything.
        waits_for: what the whole sentinel still lacks, in a word for ``/readyz``; "" when nothing.
        config: its config, once that has changed since it was started; None before.
    """

    doors: dict[int, Door]
    may_listen: bool = False
    waits_for: str = ""
    config: dict[str, object] | None = None


def worker_id(node_id: str, number: int) -> str:
    """Return a worker's id: the sentinel's own for the first, ``<id>.<number>`` for the others."""
    return node_id if number == FIRST else f"{node_id}.{number}"


def dials(number: int, doors: Mapping[int, Door]) -> dict[int, Door]:
    """Return the doors a worker dials: those of lower numbers, so that each pair has one link."""
    return {other: door for other, door in doors.items() if other < number}


def may_listen(number: int, reports: Mapping[int, Report]) -> bool:
    """Tell whether a worker and every other that lives say that they are linked."""
    return _is_linked(number, reports, reports)


def _is_linked(number: int, others: Iterable[int], reports: Mapping[int, Report]) -> bool:
    return all(
        other in reports[number].linked and number in reports[other].linked for other in others if other != number
    )


def orders(reports: Mapping[int, Report], *, have_started: bool, has_parent: bool) -> dict[int, Orders]:
    """Return what each worker that lives is to be told.

    Args:
        reports: the last one of each worker that lives, by number.
        have_started: all workers have been there once; until then nobody takes links from outside.
        has_parent: the config names an upstream.
    """
    doors = {number: report.door for number, report in sorted(reports.items())}
    first = reports.get(FIRST)
    lack = "upstream" if has_parent and (first is None or not first.has_upstream) else ""
    if not have_started or not _is_whole(reports):
        lack = "workers"
    return {number: Orders(doors, have_started and may_listen(number, reports), lack) for number in doors}


def _is_whole(reports: Mapping[int, Report]) -> bool:
    """Tell whether all workers that take links are linked; one that has ended takes none, so nobody lands at it."""
    serving = [number for number, report in reports.items() if report.listen]
    return bool(serving) and all(_is_linked(number, serving, reports) for number in serving)
