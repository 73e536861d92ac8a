"""The driver equals the golden model, whatever the batch; pynq's own classes carry it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pynq
import pytest
from hand_bench import WORK, Bench, load_package
from hand_networks import NETWORKS

from xnorhw import golden
from xnorhw.emit.store import read_build
from xnorhw.golden.codes import random_codes
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.pynq_device import open_device


def frames(one: Bench, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random frames as the driver takes them, and what golden says: integers off the chip, scores."""
    build = read_build(one.folder)
    graph, plan = build.graph, build.plan
    codes = random_codes(graph, count, seed)
    tensors = golden.run(graph, codes)
    given = one.package.description.load_description().given
    x = codes.reshape(count, *given.shape).astype(given.dtype)
    return x, tensors[plan.output_tensor], golden.scores(graph, tensors[graph.output]).reshape(count, -1)


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_golden(name: str, bench: Callable[[str], Bench]) -> None:
    one = bench(name)
    x, sums, scores = frames(one, 23, seed=5)
    assert len(np.unique(sums)) > 5
    with one.open(max_batch=7) as accelerator:
        for count in (1, 2, 5, 7, 8, 23):  # single, even, odd, a full buffer, parts of unequal size
            assert np.array_equal(accelerator.predict_sums(x[:count]), sums[:count])
        found = accelerator.predict_scores(x)
        assert found.dtype == np.float32
        assert np.array_equal(found.view(np.uint32), scores.view(np.uint32))
        assert np.array_equal(accelerator.predict(x), np.argmax(scores, axis=1))


@pytest.mark.parametrize("name", ["table", "codes", "flags", "full", "wide"])
def test_channels_last(name: str, bench: Callable[[str], Bench]) -> None:
    one = bench(name)
    x, sums, _ = frames(one, 5, seed=6)
    with one.open() as accelerator:
        last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        assert np.array_equal(accelerator.predict_sums(last, layout="HWC"), sums)


def test_under_stalls(bench: Callable[[str], Bench]) -> None:
    """Memory that pauses at random changes no result."""
    one = bench("codes")
    x, sums, _ = frames(one, 20, seed=7)
    with open_device(one.folder, work=WORK, stalls=Stalls(seed=3)) as device:
        accelerator = one.package.Accelerator.open(device=device, max_batch=6)
        assert np.array_equal(accelerator.predict_sums(x), sums)
        accelerator.close()


def test_results_are_copies(bench: Callable[[str], Bench]) -> None:
    one = bench("bits")
    x, sums, _ = frames(one, 2, seed=8)
    assert not np.array_equal(sums[0], sums[1])
    with one.open() as accelerator:
        first = accelerator.predict_sums(x[:1])
        accelerator.predict_sums(x[1:])
        assert np.array_equal(first, sums[:1])


def test_one_transfer_a_batch(bench: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is one transfer each way, and while one computes the next is packed."""
    one = bench("table")
    x, sums, _ = frames(one, 10, seed=9)
    with one.open(max_batch=4) as accelerator:
        events: list[str] = []
        for owner, method in (
            (accelerator._engine, "start"),
            (accelerator._engine, "wait"),
            (accelerator, "_pack"),
            (accelerator, "_unpack"),
        ):
            real = getattr(owner, method)
            monkeypatch.setattr(owner, method, lambda *a, r=real, m=method: (events.append(m), r(*a))[1])
        assert np.array_equal(accelerator.predict_sums(x), sums)
    assert events == [
        *("_pack", "start", "_pack", "wait"),
        *("start", "_unpack", "_pack", "wait"),
        *("start", "_unpack", "wait", "_unpack"),
    ]


class Counted(np.ndarray):
    """A buffer that counts how often each of its bytes is written."""

    counts: np.ndarray
    origin: int

    def __array_finalize__(self, parent: Any) -> None:
        if isinstance(parent, Counted) and hasattr(parent, "counts"):
            self.counts, self.origin = parent.counts, parent.origin

    def count(self) -> None:
        begin = self.__array_interface__["data"][0] - self.origin
        behind = self.counts.reshape(-1)[begin:]
        np.lib.stride_tricks.as_strided(behind, self.shape, self.strides)[...] += 1

    def __setitem__(self, key: Any, value: Any) -> None:
        self[key].count()
        super().__setitem__(key, value)

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any, out: Any = (), **options: Any) -> Any:
        for place in out:
            place.count()
        plain = tuple(x.view(np.ndarray) for x in out)
        return getattr(ufunc, method)(*given, out=plain, **options)


@pytest.mark.parametrize("layout", ["CHW", "HWC"])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_byte_of_a_buffer_is_written_once(name: str, layout: str, bench: Callable[[str], Bench]) -> None:
    """However the front looks, a buffer is passed over once; what lies behind a frame is left alone."""
    one = bench(name)
    x, _, _ = frames(one, 5, seed=1)
    with one.open(host="numpy") as accelerator:
        frame = accelerator.description.input
        if layout == "HWC":
            x = np.ascontiguousarray(x.reshape(5, *accelerator.description.given.chw).transpose(0, 2, 3, 1))
        counts = np.zeros((7, frame.bytes), np.uint8)
        buffer = np.zeros_like(counts).view(Counted)
        buffer.counts, buffer.origin = counts, buffer.__array_interface__["data"][0]
        accelerator._host.pack(x, buffer[:5], layout)
        used = -(-frame.elements * frame.element_bits // 8) if frame.element_bits == 1 else frame.elements
        assert (counts[:5, :used] == 1).all()
        assert not counts[:5, used:].any() and not counts[5:].any()
        buffer[:1, :1] = 0
        assert counts[0, 0] == 2  # it does count


def test_padding_stays_zero(bench: Callable[[str], Bench]) -> None:
    """From the beginning on: a frame's own bytes are the only ones written."""
    one = bench("codes")
    with one.open() as accelerator:
        frame = accelerator.description.input
        assert frame.bytes > frame.elements
        x, _, _ = frames(one, 3, seed=1)
        accelerator.predict(x)
        buffer = np.asarray(accelerator._inputs[0])
        assert not buffer[:3, frame.elements :].any() and not buffer[3:].any()


def test_self_test_and_throughput(bench: Callable[[str], Bench]) -> None:
    one = bench("table")
    build = read_build(one.folder)
    with one.open(max_batch=8) as accelerator:
        report = accelerator.self_test()
        assert report.passed and report.simulated and report.frames == 16 and report.accuracy == 1.0
        assert "simulation" in str(report) and "aborted" in str(report)
        measured = accelerator.throughput_test(frames=40)
        figures = build.plan.figures
        assert measured.simulated and measured.kind == "simulated"
        assert measured.planned_cycles_per_frame == figures.cycles_per_frame
        assert measured.clock_mhz == build.plan.clock_mhz == accelerator.clock_mhz
        # parts of 8 frames: fill and drain of each count as well
        assert figures.cycles_per_frame < measured.cycles_per_frame < 2 * figures.latency_cycles
        assert measured.fps_by_clock == pytest.approx(measured.clock_mhz * 1e6 / measured.cycles_per_frame)
        assert "simulator" in str(measured)
        assert measured.as_dict()["batch"] == 8


def test_throughput_of_more_than_a_block(bench: Callable[[str], Bench]) -> None:
    """The counter of busy clocks has 32 bits: long runs are measured in blocks, each frame once."""
    one = bench("bits")
    with one.open(max_batch=2) as accelerator:
        before = accelerator.counters().frames_out
        measured = accelerator.throughput_test(frames=37)
        assert accelerator.counters().frames_out - before == 37 + 1  # and one for the latency
        assert measured.frames == 37 and measured.cycles_per_frame > 1
        with pytest.raises(one.package.AcceleratorError, match="0 frames were asked for"):
            accelerator.throughput_test(frames=0)


def test_counters(bench: Callable[[str], Bench]) -> None:
    one = bench("table")
    x, _, _ = frames(one, 6, seed=2)
    with one.open() as accelerator:
        assert accelerator.counters() == one.package.Counters(0, 0, 0, 0, 0, ())
        accelerator.predict(x)
        counters = accelerator.counters()
        assert (counters.frames_in, counters.frames_out, counters.errors) == (6, 6, ())
        assert counters.busy_cycles > 6 * accelerator.planned.cycles_per_frame
        assert counters.input_stalls > 0  # memory is faster than this network


def test_pynq_binds_by_itself(bench: Callable[[str], Bench]) -> None:
    """pynq's own Overlay, with the package's driver for the IP and pynq's for the DMA."""
    one = bench("table")
    overlay = pynq.Overlay(one.device.bitfile, device=one.device)
    assert (
        type(overlay.accel) is one.package.ip.AcceleratorIP
        or "xnorhw_accel" in type(overlay.accel).__module__
    )
    assert type(overlay.dma) is pynq.lib.dma.DMA
    assert int(overlay.accel.register_map.ID) == 0x584E4F52
    assert int(overlay.accel.register_map.IN_BEATS) == read_build(one.folder).plan.input_frame.beats
    assert pynq.Clocks.fclk0_mhz == 100.0


def test_another_processing_system(build: Callable[..., Any], bench: Callable[[str], Bench]) -> None:
    """A Zynq UltraScale+ board: other clock registers, other addresses."""
    folder = build("bits", board="kv260")
    with open_device(folder, work=WORK) as device:
        package = load_package(folder / "pynq")
        with package.Accelerator.open(device=device) as accelerator:
            assert accelerator.self_test().passed
            assert accelerator.clock_mhz == pytest.approx(187.498, abs=0.01)
            assert device.sim.ip_base == 0xA0000000
