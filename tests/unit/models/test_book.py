"""Which models come and go, and who waits."""

from __future__ import annotations

from framewire.models import book as rules
from framewire.models.book import Demand, Go, Never, Wait
from framewire.v1.step_pb2 import ModelInfo
from framewire.work.v1.work_pb2 import KnownModel, ModelBook, ModelLease

MIB = 1 << 20


def book_of(**sizes: int) -> ModelBook:
    """Models and what they hold, in MiB; used in this order."""
    models = [
        KnownModel(name=name, memory_bytes=size * MIB, used=used, info=ModelInfo(name=name))
        for used, (name, size) in enumerate(sizes.items(), start=1)
    ]
    return ModelBook(models=models, uses=len(models))


def lease(*models: str, holder: str = "w/1", purpose: str = "job") -> ModelLease:
    return ModelLease(holder=holder, purpose=purpose, models=models)


def ask(book: ModelBook, wanted: ModelLease, *, loaded: str = "", budget: int = 0) -> Go | Wait | Never:
    return rules.demand(book, Demand(lease=wanted, loaded=set(loaded.split()), budget=budget * MIB))


def test_a_loaded_model_is_leased_as_it_is() -> None:
    book = book_of(a=10)
    assert ask(book, lease("a"), loaded="a", budget=10) == Go()
    assert [each.models for each in book.leases] == [["a"]]


def test_a_model_that_was_loaded_before_there_was_a_book_is_loaded_anew_to_be_known() -> None:
    book = book_of(a=10)
    assert ask(book, lease("a", "b"), loaded="a b") == Go(load=("b",))
    assert rules.entry(book, "b").changing == "w/1"


def test_a_model_that_is_loaded_but_not_known_needs_no_room() -> None:
    book = book_of(a=10)
    assert ask(book, lease("b"), loaded="a b", budget=10) == Go(load=("b",))


def test_a_model_that_is_not_loaded_is_loaded_by_who_asked_and_by_nobody_else() -> None:
    book = book_of(a=10)
    assert ask(book, lease("a"), budget=10) == Go(load=("a",))
    assert rules.entry(book, "a").changing == "w/1"
    assert isinstance(ask(book, lease("a", holder="v/1"), budget=10), Wait)


def test_the_idle_model_used_longest_ago_makes_room_and_no_more_than_are_needed() -> None:
    book = book_of(a=10, b=10, c=10, d=10)
    rules.entry(book, "a").used = 99
    assert ask(book, lease("d"), loaded="a b c", budget=30) == Go(load=("d",), evict=("b",))


def test_what_is_leased_pinned_or_being_changed_makes_no_room() -> None:
    book = book_of(a=10, b=10, c=10, d=10)
    ask(book, lease("a"), loaded="a b c", budget=30)
    rules.entry(book, "b").pinned = True
    rules.entry(book, "c").changing = "v/1"
    decision = ask(book, lease("d", purpose="other"), loaded="a b c", budget=30)
    assert decision == Wait("d need 10 MiB, 30 MiB of 30 MiB are in use")


def test_what_is_being_loaded_counts_before_it_is_there() -> None:
    book = book_of(a=10, b=10)
    ask(book, lease("a"), budget=15)
    assert isinstance(ask(book, lease("b", holder="v/1"), budget=15), Wait)


def test_a_job_of_several_models_gets_all_of_them_or_none() -> None:
    book = book_of(a=10, b=10, c=10)
    ask(book, lease("a"), loaded="a", budget=25)
    assert isinstance(ask(book, lease("b", "c", purpose="both"), loaded="a", budget=25), Wait)
    assert [each.purpose for each in book.leases] == ["job"]
    rules.end(book, lease("a"))
    both = ask(book, lease("b", "c", purpose="both"), loaded="a", budget=25)
    assert both == Go(load=("b", "c"), evict=("a",))


def test_what_can_never_fit_is_refused_and_a_guess_is_no_reason_to() -> None:
    book = book_of(a=10, b=10)
    assert ask(book, lease("a", "b"), budget=15) == Never("a and b need 20 MiB, models may hold 15 MiB here")
    assert ask(book, lease("unheard_of"), budget=15) == Go(load=("unheard_of",))


def test_without_a_budget_everything_fits() -> None:
    assert ask(book_of(a=10, b=10_000), lease("b"), loaded="a") == Go(load=("b",))


def test_those_who_wait_for_room_get_it_in_the_order_they_came() -> None:
    book = book_of(a=10, large=30, small=10)
    ask(book, lease("a", purpose="runs"), loaded="a", budget=30)
    first, second = lease("large", purpose="first"), lease("small", purpose="second")
    assert isinstance(ask(book, first, loaded="a", budget=30), Wait)
    assert ask(book, second, loaded="a", budget=30) == Wait("others wait for room before it")
    assert isinstance(ask(book, first, loaded="a", budget=30), Wait)
    rules.end(book, lease(purpose="runs"))
    assert ask(book, first, loaded="a", budget=30) == Go(load=("large",), evict=("a",))
    assert [each.purpose for each in book.waiting] == ["second"]


def test_models_that_are_loaded_pass_those_who_wait_but_not_for_ever() -> None:
    book = book_of(a=10, large=30)
    ask(book, lease("a", purpose="runs"), loaded="a", budget=30)
    ask(book, lease("large", purpose="waits"), loaded="a", budget=30)
    passed = 0
    while isinstance(ask(book, lease("a", purpose=f"passes {passed}"), loaded="a", budget=30), Go):
        passed += 1
    assert passed == rules.PATIENCE + 1


def test_what_the_dead_left_behind_is_forgotten() -> None:
    book = book_of(a=10, b=10)
    ask(book, lease("a", holder="dead/1"), budget=10)
    ask(book, lease("b", holder="dead/1", purpose="waits"), budget=10)
    assert rules.holders(book) == {"dead/1"}
    rules.forget_dead(book, {"dead/1"})
    assert rules.holders(book) == set()
    assert ask(book, lease("b"), loaded="a", budget=10) == Go(load=("b",), evict=("a",))


def test_models_that_hold_more_than_was_thought_have_the_idle_make_room() -> None:
    book = book_of(a=10, b=10, c=20)
    ask(book, lease("c"), loaded="a b c", budget=40)
    assert rules.surplus(book, {"a", "b", "c"}, 35 * MIB) == ["a"]
    assert rules.surplus(book, {"a", "b", "c"}, 0) == []
