"""The list of what is kept, to the contract and back."""

from __future__ import annotations

from fractions import Fraction

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from framewire.edits.edit_list import EditList, Span
from framewire.edits.grid import RegularGrid, snap
from framewire.edits.wire import cut_list_from_proto, cut_list_to_proto
from framewire.errors import ErrorCode, StepError
from framewire.v1.step_pb2 import CutList, CutSpan


@given(
    st.sampled_from([Fraction(30000, 1001), Fraction(25), Fraction(24000, 1001), Fraction(120), Fraction(1000, 3)]),
    st.sets(st.integers(0, 6_000_000), min_size=2, max_size=40),
    st.sampled_from([Fraction(1), Fraction(3, 2), Fraction(1, 10)]),
)
def test_a_list_comes_back_exactly_as_it_was(rate: Fraction, frames: set[int], speed: Fraction) -> None:
    grid, bounds = RegularGrid(rate=rate, frames=6_000_000), sorted(frames)
    spans = zip(bounds[::2], bounds[1::2], strict=False)
    edits = EditList(Span(start=start / rate, end=end / rate, speed=speed) for start, end in spans)
    assert snap(cut_list_from_proto(cut_list_to_proto(edits)), grid) == edits


def test_a_span_that_overlaps_the_one_before_is_named() -> None:
    spans = [(0, 5), (4, 6)]
    cuts = CutList(spans=[CutSpan(start=Duration(seconds=a), end=Duration(seconds=b)) for a, b in spans])
    with pytest.raises(StepError) as caught:
        cut_list_from_proto(cuts, path="steps[0].cut_silence.cuts")
    assert caught.value.code == ErrorCode.STEP_INVALID
    assert [each.field for each in caught.value.violations] == ["steps[0].cut_silence.cuts.spans[1].start"]


def test_a_span_that_holds_nothing_is_named() -> None:
    cuts = CutList(spans=[CutSpan(start=Duration(seconds=5), end=Duration(seconds=5))])
    with pytest.raises(StepError, match=r"cuts\.spans\[0\]\.end"):
        cut_list_from_proto(cuts)


def test_a_list_that_could_not_be_handed_back_is_refused_with_a_way_out() -> None:
    spans = [Span(start=Fraction(2 * number), end=Fraction(2 * number + 1)) for number in range(20_001)]
    assert len(cut_list_to_proto(EditList(spans[1:])).spans) == 20_000
    with pytest.raises(StepError, match=r"20001 parts would be kept.*minclip"):
        cut_list_to_proto(EditList(spans))
