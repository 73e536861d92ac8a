"""Converters between streams: checked on the elements themselves."""

from __future__ import annotations

import itertools

import pytest

from xnorhw.plan.model import Stream
from xnorhw.plan.streams import Step, conversion

Word = list[int | None]


def words(stream: Stream, packed: bool) -> list[Word]:
    """The words of a frame whose elements are numbered from 1; None past a pixel or the frame."""
    total = stream.pixels * stream.channels
    if packed:
        cuts = [list(range(i, min(i + stream.lanes, total))) for i in range(0, total, stream.lanes)]
    else:
        cuts = [
            list(range(p * stream.channels + c, p * stream.channels + min(c + stream.lanes, stream.channels)))
            for p in range(stream.pixels)
            for c in range(0, stream.channels, stream.lanes)
        ]
    return [[*(e + 1 for e in cut), *[None] * (stream.lanes - len(cut))] for cut in cuts]


def convert(source: list[Word], step: Step, bits: int) -> list[Word]:
    """Packets as xh_width_converter cuts them: the rest of a packet's last word is dropped."""
    per, size = -(-step.packet_bits // step.in_bits), step.packet_bits // bits
    assert len(source) == per * step.packets
    out: list[Word] = []
    for p in range(step.packets):
        elements = list(itertools.chain(*source[p * per : (p + 1) * per]))[:size]
        lanes = step.out_bits // bits
        for i in range(0, size, lanes):
            word = elements[i : i + lanes]
            out.append([*word, *[None] * (lanes - len(word))])
    return out


@pytest.mark.parametrize(
    ("have_packed", "want_packed"), [(True, True), (True, False), (False, True), (False, False)]
)
@pytest.mark.parametrize("channels", [1, 3, 6, 10])
@pytest.mark.parametrize("pixels", [1, 4])
@pytest.mark.parametrize("lanes", [(1, 1), (4, 4), (8, 3), (3, 8), (2, 6), (6, 2), (8, 4)])
def test_every_element_arrives(
    have_packed: bool, want_packed: bool, channels: int, pixels: int, lanes: tuple[int, int]
) -> None:
    bits = 8
    pixel = (channels, pixels)
    whole = (channels * pixels, 1)
    have = Stream("x", lanes[0], bits, *(whole if have_packed else pixel))
    want = Stream("x", lanes[1], bits, *(whole if want_packed else pixel))
    stream = words(have, have_packed)
    steps = conversion(have, have_packed, want, want_packed)
    for step in steps:
        stream = convert(stream, step, bits)
    assert stream == words(want, want_packed)
    assert len(steps) <= 2
    for step in steps:
        # a converter in between is never what limits
        assert step.cycles <= max(len(words(have, have_packed)), len(words(want, want_packed)))


def test_equal_words_need_no_converter() -> None:
    have = Stream("x", 4, 1, 8, 9)
    assert conversion(have, False, Stream("x", 4, 1, 8, 9), False) == ()
    assert conversion(have, False, Stream("x", 4, 1, 72, 1), True) == ()


def test_lanes_past_the_last_channel_are_cleared_by_a_converter() -> None:
    have = Stream("x", 4, 1, 10, 9)
    (step,) = conversion(have, False, have, False)
    assert (step.in_bits, step.out_bits, step.packet_bits) == (4, 4, 10)
