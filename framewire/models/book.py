"""The rules by which models come and go: pure functions over a ModelBook.

The book says what is known and who uses what; which models are loaded says the model server, for it may have been
started anew. Nobody loads or unloads a model before the book says that it is he who does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from framewire.work.v1.work_pb2 import KnownModel, ModelBook, ModelLease

GUESS: Final = 64 << 20
"""Bytes a model is thought to need of which nothing is known."""
PATIENCE: Final = 16
"""Leases that others may begin before one that waits for room also keeps those waiting whose models are loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What somebody wants to use."""

    lease: ModelLease
    loaded: Collection[str]
    """Models the server holds now."""
    budget: int
    """Bytes models may hold together; 0: as many as they like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """The lease is in the book. First unload `evict`, then load `load`; nobody else touches these."""

    load: tuple[str, ...] = ()
    evict: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; the book will have changed when it is worth another try."""

    why: str


@dataclass(frozen=True, slots=True)
class Never:
    """It cannot fit, whatever is unloaded."""

    why: str


def forget_dead(book: ModelBook, dead: Collection[str]) -> None:
    """Take out of the book what these holders have left in it."""
    for entries in (book.leases, book.waiting):
        kept = [lease for lease in entries if lease.holder not in dead]
        del entries[:]
        entries.extend(kept)
    for model in book.models:
        if model.changing in dead:
            model.changing = ""


def holders(book: ModelBook) -> set[str]:
    """Everybody who is in the book."""
    named = {lease.holder for lease in (*book.leases, *book.waiting)}
    return named | {model.changing for model in book.models if model.changing}


def entry(book: ModelBook, name: str) -> KnownModel:
    """What is known of a model; a new entry when nothing is."""
    for model in book.models:
        if model.name == name:
            return model
    return book.models.add(name=name)


def size_of(book: ModelBook, name: str) -> int:
    """Bytes a model holds or will hold, as measured or guessed."""
    return entry(book, name).memory_bytes or GUESS


def used_bytes(book: ModelBook, loaded: Collection[str]) -> int:
    """What is held now, that included which is being loaded."""
    return sum(size_of(book, model.name) for model in book.models if model.name in loaded or model.changing)


def demand(book: ModelBook, want: Demand) -> Go | Wait | Never:
    """Decide, and write the decision into the book: the lease and who changes what, or that somebody waits."""
    decision = _decide(book, want)
    if isinstance(decision, Wait):
        _queue(book, want.lease)
        return decision
    _leave(book.waiting, want.lease)
    if isinstance(decision, Go):
        _begin(book, want.lease, decision)
    return decision


def end(book: ModelBook, lease: ModelLease) -> None:
    """A lease, or the wait for one, is over. Nothing when it was over already."""
    _leave(book.leases, lease)
    _leave(book.waiting, lease)


def idle(book: ModelBook, loaded: Collection[str]) -> list[str]:
    """Loaded models that nobody uses or keeps, the one that was used longest ago first."""
    leased = {name for lease in book.leases for name in lease.models}
    free = [
        model
        for model in book.models
        if model.name in loaded and model.name not in leased and not model.pinned and not model.changing
    ]
    return [model.name for model in sorted(free, key=lambda model: model.used)]


def surplus(book: ModelBook, loaded: Collection[str], budget: int) -> list[str]:
    """Idle models to unload because those that are loaded turned out to hold more than the budget."""
    return _to_make_room(book, loaded, used_bytes(book, loaded) - budget, spare=()) if budget else []


def _decide(book: ModelBook, want: Demand) -> Go | Wait | Never:
    names = list(want.lease.models)
    if want.budget and (too_large := _too_large(book, names, want.budget)):
        return too_large
    busy = [name for name in names if entry(book, name).changing]
    if busy:
        return Wait(f"{', '.join(busy)} is being loaded or unloaded")
    missing = [name for name in names if name not in want.loaded]
    if _somebody_goes_first(book, want.lease, needs_room=bool(missing)):
        return Wait("others wait for room before it")
    decision = _make_room(book, want, missing) if missing else Go()
    return replace(decision, load=(*decision.load, *_strangers(book, want))) if isinstance(decision, Go) else decision


def _strangers(book: ModelBook, want: Demand) -> list[str]:
    """Models that the server had loaded before there was this book: loading them anew tells what they are and hold."""
    return [name for name in want.lease.models if name in want.loaded and not entry(book, name).HasField("info")]


def _too_large(book: ModelBook, names: Sequence[str], budget: int) -> Never | None:
    """Only what was measured counts: a guess is no reason to refuse a job."""
    need = sum(entry(book, name).memory_bytes for name in names)
    if need <= budget:
        return None
    return Never(f"{' and '.join(names)} need {_mib(need)}, models may hold {_mib(budget)} here")


def _somebody_goes_first(book: ModelBook, lease: ModelLease, *, needs_room: bool) -> bool:
    first = book.waiting[0] if book.waiting else None
    if first is None or _same(first, lease):
        return False
    ahead = [_same(each, lease) for each in book.waiting]
    if needs_room:
        return True not in ahead or ahead.index(True) > 0
    return book.uses - first.since > PATIENCE and not any(ahead)


def _make_room(book: ModelBook, want: Demand, missing: Sequence[str]) -> Go | Wait:
    if not want.budget:
        return Go(load=tuple(missing))
    need, used = sum(size_of(book, name) for name in missing), used_bytes(book, want.loaded)
    evict = _to_make_room(book, want.loaded, need + used - want.budget, spare=want.lease.models)
    left = used - sum(size_of(book, name) for name in evict)
    if left and need + left > want.budget:  # alone it may always be tried: what it needs may be a guess
        return Wait(f"{' and '.join(missing)} need {_mib(need)}, {_mib(used)} of {_mib(want.budget)} are in use")
    return Go(load=tuple(missing), evict=tuple(evict))


def _to_make_room(book: ModelBook, loaded: Collection[str], short: int, *, spare: Collection[str]) -> list[str]:
    """As few idle models as it takes, those used longest ago first; all of them when even that is not enough."""
    chosen: list[str] = []
    for name in idle(book, loaded):
        if short <= 0:
            break
        if name not in spare:
            chosen.append(name)
            short -= size_of(book, name)
    return chosen


def _begin(book: ModelBook, lease: ModelLease, decision: Go) -> None:
    book.uses += 1
    book.leases.add().CopyFrom(lease)
    book.leases[-1].since = book.uses
    for name in lease.models:
        entry(book, name).used = book.uses
    for name in (*decision.load, *decision.evict):
        entry(book, name).changing = lease.holder


def _queue(book: ModelBook, lease: ModelLease) -> None:
    """At the end, unless it waits already: then it keeps its place."""
    if not any(_same(each, lease) for each in book.waiting):
        book.waiting.add().CopyFrom(lease)
        book.waiting[-1].since = book.uses


def _leave(entries: object, lease: ModelLease) -> None:
    kept = [each for each in entries if not _same(each, lease)]  # type: ignore[attr-defined]  # a repeated field
    del entries[:]  # type: ignore[attr-defined]
    entries.extend(kept)  # type: ignore[attr-defined]


def _same(one: ModelLease, other: ModelLease) -> bool:
    return (one.holder, one.purpose) == (other.holder, other.purpose)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"
