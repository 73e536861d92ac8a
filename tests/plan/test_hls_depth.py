"""The depths of the C++ core's streams: as small as they say, enough for the pace in chains and graphs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.plan.test_hls import SAME, plan_of
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_depth import LATENCY, PIPELINE, SLACK, Turns, line_buffer_depth, stream_depths
from xnorhw.plan.hls_model import HlsDesign, Lines, Taps
from xnorhw.plan.model import Edge, Fifo, Frame, Job, Stream, Window

# --- between the two processes of a window -----------------------------------------------------


def alone(unit: Window) -> HlsDesign:
    """A window between the core's ports."""
    base = plan_of("mixed slow")
    taken = Stream(
        "input", unit.lanes, unit.bits, unit.lanes * unit.words_per_pixel, unit.height * unit.width
    )
    out = unit.lanes * unit.taps_per_word
    given = Stream("output", out, unit.bits, out, unit.out_height * unit.out_width * unit.out_words_per_pixel)
    plan = replace(
        base,
        units=(unit,),
        edges=(
            Edge("input", unit.name, "data", taken, Fifo(0)),
            Edge(unit.name, "output", "data", given, Fifo(0)),
        ),
        jobs=(Job("layer", unit.name, (), "input", "output"),),
        input_frame=Frame(taken.width, taken.words, taken.words, taken.width),
        output_frame=Frame(given.width, given.words, given.words, given.width),
    )
    return hls_design(plan)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    kernel = pair(1, 3)
    pads = Pads(*(draw(st.integers(0, kernel[axis] - 1)) for axis in (1, 1, 0, 0)))
    geometry = WindowGeometry(kernel, pair(1, 3), pads, pair(1, 2))
    size = pair(1, 7)
    out = geometry.output_size(*size)
    assume(min(out) >= 1)
    taps = draw(st.sampled_from([t for t in range(1, geometry.taps + 1) if geometry.taps % t == 0]))
    outer = draw(st.booleans())
    repeats = 1 if outer else draw(st.integers(1, 4))
    slices = 1 if outer else draw(st.integers(1, 3))
    assume(repeats * geometry.taps > taps)
    replays = kernel == (1, 1) and geometry.stride == (1, 1)
    replays = replays or (kernel == size and taps == slices == 1)
    assume(outer or pads.any() or not replays)
    return Window(
        "window", 1, 1, slices * draw(st.integers(1, 3)), *size, geometry, *out, taps, repeats, outer, 99,
        "0", slices=slices,
    )  # fmt: skip


def turns(lines: Lines) -> tuple[list[bool], list[bool]]:
    """Whether each turn of the lines gives a window word, and each of the taps takes one."""
    unit = lines.window
    row = lines.step_row + (unit.out_width - 1) * lines.step_pixel
    places = {
        lines.first + y * row + x * lines.step_pixel
        for y in range(unit.out_height)
        for x in range(unit.out_width)
    }
    gives = [p in places for p in range(lines.positions) for _ in range(unit.words_per_pixel)]
    words, groups = unit.words_per_pixel, unit.geometry.taps // unit.taps_per_word
    if unit.channels_outer:
        pixel = [group == 0 for _ in range(words) for group in range(groups)]
    else:
        rounds = range(unit.repeats * groups)
        part = [number == 0 for number in rounds for _ in range(words // unit.slices)]
        pixel = part * unit.slices
    return gives, pixel * (unit.out_height * unit.out_width)


def pace(gives: list[bool], takes: list[bool], depth: int, frames: int = 8) -> float:
    """Clocks a frame of the two processes, clock by clock, in the later half of ``frames``.

    A word can be taken ``LATENCY - 1`` clocks after it was given, its place be used again a
    clock after that.
    """
    given: list[int] = []
    taken: list[int] = []
    ends: list[int] = []
    at_lines = at_taps = clock = 0
    while len(ends) < frames:
        room = len(given) < depth or (len(taken) > len(given) - depth and taken[len(given) - depth] < clock)
        lines_go = at_lines < frames * len(gives) and (room or not gives[at_lines % len(gives)])
        there = len(given) > len(taken) and given[len(taken)] + LATENCY - 1 <= clock
        taps_go = there or not takes[at_taps % len(takes)]
        if taps_go:
            if takes[at_taps % len(takes)]:
                taken.append(clock)
            at_taps += 1
            if at_taps % len(takes) == 0:
                ends.append(clock)
        if lines_go:
            if gives[at_lines % len(gives)]:
                given.append(clock)
            at_lines += 1
        clock += 1
        assert lines_go or taps_go or clock < 100 * frames * (len(gives) + len(takes)), "they stand still"
    half = frames // 2
    return (ends[-1] - ends[half - 1]) / (frames - half)


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(windows())
def test_the_depth_between_lines_and_taps_is_enough_and_no_waste(unit: Window) -> None:
    """With the depth neither waits for the other; with two words less one does, in most with one less."""
    lines, taps = alone(unit).stages
    assert isinstance(lines, Lines) and isinstance(taps, Taps)
    depth = lines.target.depth
    assert depth == line_buffer_depth(unit, lines.first, lines.step_row, lines.cycles)
    gives, takes = turns(lines)
    assert (len(gives), len(takes)) == (lines.cycles, taps.cycles)
    best = max(len(gives), len(takes))
    assert pace(gives, takes, depth) == best
    if depth > 3:
        assert pace(gives, takes, depth - 2) > best


@pytest.mark.parametrize(("taps", "repeats", "words"), [(3, 1, 1), (9, 2, 1), (9, 4, 2)])
def test_the_depth_is_the_least_on_a_padded_map(taps: int, repeats: int, words: int) -> None:
    """The usual window: the taps' even pace against the lines' bursts."""
    geometry = WindowGeometry((3, 3), (1, 1), SAME)
    unit = Window("window", 1, 8, words, 8, 8, geometry, 8, 8, taps, repeats, False, 99, "0")
    lines, serial = alone(unit).stages
    assert isinstance(lines, Lines) and isinstance(serial, Taps)
    gives, takes = turns(lines)
    best, depth = max(len(gives), len(takes)), lines.target.depth
    assert depth > 2
    assert pace(gives, takes, depth) == best
    assert pace(gives, takes, depth - 1) > best


# --- where streams part and meet ---------------------------------------------------------------


@dataclass
class Net:
    """A graph of loops: for each the turns, the loops that write its sources, -1 for the input."""

    beats: int
    loops: list[Turns] = field(default_factory=list)
    writers: list[list[int]] = field(default_factory=list)

    def add(self, loop: Turns, *writers: int) -> int:
        self.loops.append(loop)
        self.writers.append(list(writers))
        return len(self.loops) - 1

    def straight(self, *writers: int) -> int:
        every = np.arange(self.beats)
        return self.add(Turns(self.beats, (every,) * len(writers), every), *writers)

    def delay(self, writer: int, turns: int) -> int:
        """Reads ``turns`` words before it gives the first."""
        every = np.arange(self.beats)
        return self.add(Turns(self.beats + turns, (every,), every + turns), writer)

    def slow(self, writer: int, turns: int) -> int:
        """Takes a word every ``turns`` turns."""
        every = np.arange(self.beats) * turns
        return self.add(Turns(self.beats * turns, (every,), every + turns - 1), writer)

    def joined(self, *writers: int) -> int:
        """One word of each in turn, of which every last one is given."""
        every, count = np.arange(self.beats), len(writers)
        reads = tuple(every * count + i for i in range(count))
        return self.add(Turns(self.beats * count, reads, reads[-1]), *writers)

    @property
    def period(self) -> int:
        return max(self.beats, *(loop.count for loop in self.loops))

    @property
    def depths(self) -> list[list[int]]:
        return stream_depths(self.loops, self.writers, self.beats, self.period)


def play(net: Net, depths: list[list[int]], frames: int) -> list[int] | None:
    """The clocks in which frames leave the last loop, clock by clock; None where all stand still.

    The input is always there; a word can be taken in the clock behind that in which it was given,
    and its place be used in the clock behind that in which it was taken.
    """
    loops, readers = net.loops, [[] for _ in net.loops]  # type: list[Turns], list[list[tuple[int, int]]]
    for number, writers in enumerate(net.writers):
        for port, writer in enumerate(writers):
            if writer >= 0:
                readers[writer].append((number, port))
    reads = [[set(r.tolist()) for r in loop.reads] for loop in loops]
    writes = [set(loop.writes.tolist()) for loop in loops]
    at = [0] * len(loops)
    gave: list[list[int]] = [[] for _ in loops]
    took: list[list[list[int]]] = [[[] for _ in loop.reads] for loop in loops]
    ends: list[int] = []
    clock = 0
    while len(ends) < frames:
        moved = False
        for number, loop in enumerate(loops):
            turn = at[number] % loop.count
            ports = [p for p, turns in enumerate(reads[number]) if turn in turns]
            there = all(
                (writer := net.writers[number][p]) < 0
                or (len(gave[writer]) > len(took[number][p]) and gave[writer][len(took[number][p])] < clock)
                for p in ports
            )
            gives = turn in writes[number]
            due = len(gave[number])
            room = not gives or all(
                due < depths[n][p]
                or (len(took[n][p]) > due - depths[n][p] and took[n][p][due - depths[n][p]] < clock)
                for n, p in readers[number]
            )
            if not (there and room):
                continue
            moved = True
            for p in ports:
                took[number][p].append(clock)
            if gives:
                gave[number].append(clock)
            at[number] += 1
            if number == len(loops) - 1 and at[number] % loop.count == 0:
                ends.append(clock)
        newest = max((given[-1] for given in gave if given), default=clock)
        if not moved and newest < clock - 1:
            return None
        clock += 1
    return ends


def keeps_pace(net: Net, depths: list[list[int]], frames: int = 16) -> bool:
    ends = play(net, depths, frames)
    return ends is not None and ends[-1] - ends[frames // 2 - 1] == (frames - frames // 2) * net.period


@st.composite
def nets(draw: st.DrawFn) -> Net:
    """Branches one behind the other, of loops that delay, slow down and hold whole frames."""
    net = Net(draw(st.integers(2, 9)))
    last = -1
    for _ in range(draw(st.integers(1, 2))):
        fork = net.straight(last)
        ends = []
        for _ in range(draw(st.integers(2, 3))):
            end = fork
            for _ in range(draw(st.integers(0, 3))):
                kind = draw(st.sampled_from(["straight", "delay", "slow", "frame"]))
                if kind == "straight":
                    end = net.straight(end)
                elif kind == "slow":
                    end = net.slow(end, draw(st.integers(2, 3)))
                else:
                    end = net.delay(end, net.beats if kind == "frame" else draw(st.integers(1, 5)))
            ends.append(end)
        last = net.joined(*ends) if draw(st.booleans()) else net.straight(*ends)
    return net


@settings(derandomize=True, deadline=None, max_examples=150, database=None)
@given(nets())
def test_the_depths_of_a_graph_are_enough(net: Net) -> None:
    assert keeps_pace(net, net.depths)


def test_a_word_waits_for_whole_frames_of_another_path() -> None:
    """Six frames lie in the short path: more than are looked at in a chain."""
    net = Net(5)
    fork = end = net.straight(-1)
    for _ in range(12):
        end = net.delay(end, net.beats)
    join = net.straight(fork, end)
    depths = net.depths
    assert depths[join][0] > 5 * net.beats
    assert keeps_pace(net, depths, 30)
    depths[join][0] = 4 * net.beats
    assert not keeps_pace(net, depths, 30)


def test_pipelines_delay_the_longer_path() -> None:
    """A word a clock: what leaves later by a pipeline and a clock a loop has to wait."""
    net = Net(200)
    fork = net.straight(-1)
    join = net.straight(fork, net.straight(net.straight(net.straight(fork))))
    # a word lies there for a clock, and its place is free in the next
    assert net.depths[join] == [3 * (PIPELINE + 1) + 2 + SLACK, 2 + SLACK]


def test_less_than_the_tokens_need_stands_still() -> None:
    """The long path gives its first word for the eighth; the short one must hold all of them meanwhile."""
    net = Net(12)
    fork = net.straight(-1)
    join = net.straight(fork, net.delay(fork, 7))
    depths = net.depths
    for short, stands in ((depths[join][0], False), (8, False), (7, True), (2, True)):
        depths[join][0] = short
        assert (play(net, depths, 4) is None) == stands, short
