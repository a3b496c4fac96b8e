"""Workers that share a model server, on a bus in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from coordinator.inference.keeper import ModelKeeper
from framewire.bus.interface import ModelWish
from framewire.errors import ErrorCode, StepError, Unavailable
from framewire.testing.bus import MemoryBus
from framewire.testing.models import FakeModelControl
from framewire.work.v1.work_pb2 import WorkerStatus

WITHIN = 10.0
MIB = 1 << 20
BUDGET = 1000 * MIB


class Site:
    """A model server, a bus, and workers that live."""

    def __init__(self, **sizes: int) -> None:
        self.bus = MemoryBus()
        self.control = FakeModelControl({name: size * MIB for name, size in sizes.items()})
        self.told: list[str] = []
        self.heard = asyncio.Event()

    async def keeper(self, worker: str = "w1", *, budget: int = BUDGET) -> ModelKeeper:
        await self.bus.workers.announce(WorkerStatus(worker=worker))
        return ModelKeeper(self.control, self.bus.models, self.bus.workers, worker=worker, budget=budget)

    async def tell(self, line: str) -> None:
        self.told.append(line)
        self.heard.set()

    @asynccontextmanager
    async def using(self, keeper: ModelKeeper, *models: str, purpose: str = "") -> AsyncIterator[None]:
        async with asyncio.timeout(WITHIN):
            lease = keeper.lease(models, purpose=purpose or f"job of {models}", told=self.tell)
            async with lease:
                yield

    async def use(self, keeper: ModelKeeper, *models: str) -> None:
        async with self.using(keeper, *models):
            assert set(models) <= self.control.loaded
            assert self.control.held <= BUDGET

    async def known(self, keeper: ModelKeeper) -> None:
        """Have every model measured, and none loaded."""
        async with asyncio.timeout(WITHIN):
            await keeper.introduce()
        for model in self.control.sizes:
            self.control.unload(model)
        self.control.done.clear()


async def test_a_model_is_loaded_by_the_first_who_needs_it_and_stays() -> None:
    site = Site(a=100)
    keeper = await site.keeper()
    await site.use(keeper, "a")
    await site.use(keeper, "a")
    assert site.control.done == ["load a"]
    assert (keeper.counters.loads, keeper.counters.evictions) == (1, 0)


async def test_two_workers_do_not_unload_each_others_models_and_who_waits_says_so() -> None:
    site = Site(a=600, b=600)
    one, other = await site.keeper("w1"), await site.keeper("w2")
    await site.known(one)
    async with AsyncExitStack() as uses:
        await uses.enter_async_context(site.using(one, "a"))
        waiting = asyncio.create_task(site.use(other, "b"))
        await asyncio.wait_for(site.heard.wait(), WITHIN)
        assert site.control.loaded == {"a"}
        assert other.memory().waiting == 1
    await waiting
    assert site.control.done == ["load a", "unload a", "load b"]
    assert site.told == ["waits for models: b need 600 MiB, 600 MiB of 1000 MiB are in use"]
    assert (other.counters.evictions, other.memory().waiting) == (1, 0)


async def test_many_jobs_of_many_workers_never_hold_more_than_the_budget() -> None:
    site = Site(a=400, b=400, c=400, d=900)
    keepers = [await site.keeper(f"w{number}") for number in range(3)]
    await site.known(keepers[0])
    jobs = [
        site.use(keeper, *models) for keeper in keepers for models in (("a",), ("b", "c"), ("d",), ("c", "a"), ("b",))
    ]
    await asyncio.gather(*jobs)
    book, _ = await site.bus.models.read("fake")
    assert not book.leases
    assert not book.waiting
    assert not any(model.changing for model in book.models)


async def test_a_job_that_can_never_fit_fails_without_anything_being_unloaded() -> None:
    site = Site(a=400, large=2000)
    keeper = await site.keeper()
    await site.use(keeper, "a")
    for _ in range(2):  # the first has to load it to find out
        with pytest.raises(StepError) as caught:
            await site.use(keeper, "large")
        assert caught.value.code == ErrorCode.MODEL_TOO_LARGE
    assert "large" not in site.control.loaded
    assert site.control.done.count("load large") == 1


async def test_a_model_that_turns_out_larger_has_an_idle_one_make_room() -> None:
    site = Site(a=600, b=600)
    keeper = await site.keeper()
    await site.use(keeper, "a")
    async with site.using(keeper, "b"):  # never measured before
        assert site.control.loaded == {"b"}


async def test_what_a_worker_that_died_had_does_not_count() -> None:
    site = Site(a=600, b=600)
    dead, other = await site.keeper("w1"), await site.keeper("w2")
    await site.known(dead)
    lease = dead.lease(["a"], purpose="job", told=site.tell)
    await lease.__aenter__()
    await site.bus.workers.withdraw("w1")  # as the board forgets who says nothing
    await site.use(other, "b")
    assert site.control.loaded == {"b"}
    await lease.__aexit__(None, None, None)


async def test_what_a_worker_had_in_an_earlier_life_does_not_count() -> None:
    site = Site(a=600, b=600)
    before, after = await site.keeper("w1"), await site.keeper("w1")
    await site.known(before)
    lease = before.lease(["a"], purpose="job", told=site.tell)
    await lease.__aenter__()
    await site.use(after, "b")
    await lease.__aexit__(None, None, None)


async def test_a_model_that_cannot_be_loaded_fails_its_job_and_no_other() -> None:
    site = Site(a=100, broken=100)
    site.control.broken.add("broken")
    keeper = await site.keeper()
    with pytest.raises(StepError, match="it is broken") as caught:
        await site.use(keeper, "broken")
    assert caught.value.code == ErrorCode.MODEL_INVALID
    await site.use(keeper, "a")
    site.control.broken.clear()  # put right
    await site.use(keeper, "broken")


async def test_what_cannot_be_used_is_told_with_its_reason_until_it_can() -> None:
    site = Site(a=100, broken=100)
    site.control.broken.add("broken")
    keeper = await site.keeper()
    await keeper.introduce()
    await keeper.catalogue()
    told = [(model.name, model.reason, model.code) for model in keeper.memory().refused]
    assert told == [("broken", "model broken cannot be loaded: it is broken", "MODEL_INVALID")]
    site.control.broken.clear()  # put right
    await site.use(keeper, "broken")
    await keeper.catalogue()
    assert not keeper.memory().refused


async def test_a_model_that_cannot_be_loaded_by_hand_is_told_and_not_kept() -> None:
    site = Site(a=600, broken=600)
    site.control.broken.add("broken")
    keeper = await site.keeper()
    await keeper.fulfil([ModelWish(model=name, pinned=True, request="1") for name in ("nobody", "broken")])
    told = {model.name: (model.code, model.HasField("time")) for model in keeper.memory().refused}
    assert told == {"nobody": ("MODEL_UNKNOWN", True), "broken": ("MODEL_INVALID", True)}
    site.control.broken.clear()
    await site.use(keeper, "broken")
    await site.use(keeper, "a")  # which needs its room
    await keeper.fulfil([ModelWish(model="broken", pinned=True, request="2")])
    assert [model.name for model in keeper.memory().refused] == ["nobody"]


async def test_a_model_that_is_too_large_is_tried_once_and_told() -> None:
    site = Site(a=100, large=2000)
    keeper = await site.keeper()
    for _ in range(3):
        await keeper.introduce()
    assert site.control.done.count("load large") == 1
    assert [(model.name, model.code) for model in keeper.memory().refused] == [("large", "MODEL_TOO_LARGE")]


async def test_only_the_newest_of_many_unfulfilled_wishes_are_told() -> None:
    site = Site(a=100)
    keeper = await site.keeper()
    for number in range(40):
        await keeper.fulfil([ModelWish(model=f"no{number}", pinned=True, request="1")])
    told = [model.name for model in keeper.memory().refused]
    assert told[-1] == "no39"
    assert len(told) < 20


async def test_a_model_in_no_repository_is_unknown() -> None:
    site = Site(a=100)
    with pytest.raises(StepError) as caught:
        await site.use(await site.keeper(), "nobody")
    assert caught.value.code == ErrorCode.MODEL_UNKNOWN


async def test_a_server_that_is_away_is_worth_another_try_and_leaves_nothing_in_the_book() -> None:
    site = Site(a=100)
    keeper = await site.keeper()
    await site.use(keeper, "a")
    site.control.reachable = False
    with pytest.raises(Unavailable):
        await site.use(keeper, "a")
    book, _ = await site.bus.models.read("fake")
    assert not book.leases


async def test_a_server_that_was_started_anew_loads_again() -> None:
    site = Site(a=100)
    keeper = await site.keeper()
    await site.use(keeper, "a")
    site.control.loaded.clear()
    await site.use(keeper, "a")
    assert site.control.done == ["load a", "load a"]


async def test_a_job_cancelled_while_its_model_is_loaded_leaves_an_orderly_book() -> None:
    site = Site(a=100)
    keeper = await site.keeper()
    site.control.may_load.clear()
    job = asyncio.create_task(site.use(keeper, "a"))
    while not (await site.bus.models.read("fake"))[0].leases:
        await site.bus.models.changed("fake", after=0, wait=1.0)
    job.cancel()
    await asyncio.wait({job})
    site.control.may_load.set()
    await keeper.close()
    book, _ = await site.bus.models.read("fake")
    assert not rules_left(book)
    assert site.control.loaded == {"a"}


def rules_left(book: object) -> bool:
    return bool(book.leases or book.waiting or any(model.changing for model in book.models))  # type: ignore[attr-defined]


async def test_a_lease_that_ends_behind_its_worker_ends_in_peace() -> None:
    site = Site(a=100)
    keeper = await site.keeper()
    async with site.using(keeper, "a"):
        await keeper.close()
    book, _ = await site.bus.models.read(site.control.identity())
    assert not book.leases


async def test_models_that_are_not_loaded_are_in_the_catalogue_once_they_are_known() -> None:
    site = Site(a=600, b=600, broken=1)
    site.control.broken.add("broken")
    keeper = await site.keeper()
    assert await keeper.catalogue() == []
    await keeper.introduce()
    found = await keeper.catalogue()
    facts = [(model.name, model.memory_bytes // MIB, model.loaded) for model in found]
    assert facts == [("a", 600, False), ("b", 600, True)]
    assert keeper.memory().used_bytes == 600 * MIB
    loads = site.control.done.count("load a")
    await (await site.keeper("w2")).introduce()
    assert site.control.done.count("load a") == loads


async def test_models_of_a_server_whose_book_was_lost_are_known_again() -> None:
    site = Site(a=100, b=100)
    await (await site.keeper()).introduce()
    assert site.control.loaded == {"a", "b"}
    site.bus = MemoryBus()
    keeper = await site.keeper()
    await keeper.introduce()
    assert [(model.name, model.memory_bytes // MIB) for model in await keeper.catalogue()] == [("a", 100), ("b", 100)]
    loads = len(site.control.done)
    await keeper.introduce()
    assert len(site.control.done) == loads


async def test_what_an_operator_pins_stays_and_is_unloaded_once_idle_when_it_is_let_go() -> None:
    site = Site(a=600, b=600)
    keeper = await site.keeper()
    await site.known(keeper)
    await keeper.fulfil([ModelWish(model="a", pinned=True, request="1")])
    assert site.control.loaded == {"a"}
    waiting = asyncio.create_task(site.use(keeper, "b"))
    await asyncio.wait_for(site.heard.wait(), WITHIN)
    async with site.using(keeper, "a"):
        await keeper.fulfil([ModelWish(model="a", pinned=False, request="2")])
        assert site.control.loaded == {"a"}
    await waiting
    assert site.control.loaded == {"b"}


async def test_each_wish_is_done_once_whoever_hears_it() -> None:
    site = Site(a=100)
    keepers = [await site.keeper("w1"), await site.keeper("w2")]
    for request in ("1", "2"):
        before = len(site.control.done)
        for keeper in (*keepers, *keepers):
            await keeper.fulfil([ModelWish(model="a", pinned=True, request=request)])
        assert len(site.control.done) - before <= 2  # loaded, and looked at anew
    done = len(site.control.done)
    await keepers[0].fulfil([ModelWish(model="a", pinned=True, request="2")])
    assert len(site.control.done) == done


async def test_unloading_by_hand_takes_an_idle_model_at_once() -> None:
    site = Site(a=100)
    keeper = await site.keeper()
    await site.use(keeper, "a")
    await keeper.fulfil([ModelWish(model="a", pinned=False, request="1")])
    assert site.control.loaded == set()
    assert keeper.counters.unloads == 1
    assert keeper.counters.evictions == 0
