"""Which width converters bring one stream to the form of another."""

from __future__ import annotations

from dataclasses import dataclass

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.geometry import divisors
from xnorhw.plan.model import Stream

__all__ = ["Step", "conversion"]


@dataclass(frozen=True)
class Step:
    """One converter: its widths and packet, packets a frame, and the stream behind it."""

    in_bits: int
    out_bits: int
    packet_bits: int
    packets: int
    stream: Stream

    @property
    def cycles(self) -> int:
        """Clocks a frame: the words of its narrower side."""
        words = max(ceil_div(self.packet_bits, self.in_bits), ceil_div(self.packet_bits, self.out_bits))
        return self.packets * words


def conversion(have: Stream, have_packed: bool, want: Stream, want_packed: bool) -> tuple[Step, ...]:
    """The converters, none to two, from ``have`` to ``want``.

    A packed stream's words run on through the whole frame; the words of any other start
    anew with each pixel, and so does a packet.  Where the pixels of an unpacked stream
    fill their words, the stream is packed as well.  Between a packed and an unpacked form
    a second converter works on whole parts of a pixel.  Words of several pixels run on for one that has
    words of fewer.
    """
    if have.channels != want.channels and not (have_packed or want_packed):
        have_packed, want_packed = have.channels > want.channels, have.channels < want.channels
    pixel, other = (want, have) if have_packed else (have, want)
    if have_packed == want_packed:
        packet = want.channels * want.bits
        return _step(have, want, packet, want.pixels)
    frame = pixel.pixels * pixel.channels * pixel.bits
    if pixel.channels % pixel.lanes == 0 or pixel.pixels == 1:
        return _step(have, want, frame, 1)
    part = _part(pixel)
    between = Stream(want.tensor, part, want.bits, pixel.channels, pixel.pixels)
    packet = pixel.channels * pixel.bits
    if have_packed:
        return _step(have, between, frame, 1) + _step(between, want, packet, pixel.pixels)
    return _step(have, between, packet, pixel.pixels) + _step(between, other, frame, 1)


def _part(stream: Stream) -> int:
    """The least divisor of the channels that takes no more words than the stream has."""
    return next(d for d in divisors(stream.channels) if stream.channels // d <= stream.words_per_pixel)


def _step(have: Stream, want: Stream, packet: int, packets: int) -> tuple[Step, ...]:
    if have.width == want.width and packet % have.width == 0:
        return ()
    return (Step(have.width, want.width, packet, packets, want),)
