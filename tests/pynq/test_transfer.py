"""What a transfer does to the DMA, step by step, and what the buffers are."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hand_bench import Bench

Benches = Callable[[str], Bench]

SEND, RECEIVE = 0x00, 0x30
STATUS, LENGTH = 0x04, 0x28
HALTED, IDLE, ERRORS = 0x1, 0x2, 0x70


def works(accelerator: Any) -> bool:
    samples = accelerator.samples
    return bool(np.array_equal(accelerator.predict_sums(samples.inputs), samples.sums))


def faked(real: Callable[..., int], answers: dict[int, int]) -> Callable[..., int]:
    """The reads of an MMIO, of which some addresses answer otherwise."""
    return lambda address, *rest: answers[address] if address in answers else real(address, *rest)


def test_buffers_are_cached_and_clean(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has a buffer's zeros from the beginning: no line is left that could be written back later."""
    one = bench("table")
    asked: list[int] = []
    real = one.device.allocate
    with monkeypatch.context() as patched:
        patched.setattr(
            one.device, "allocate", lambda *a, cacheable=0: (asked.append(cacheable), real(*a, cacheable))[1]
        )
        accelerator = one.open()
    with accelerator:
        assert asked == [1, 1, 1, 1]
        for buffer in (*accelerator._inputs, *accelerator._results):
            begin = buffer.physical_address - one.device.sim.memory_base
            assert not np.asarray(buffer).any()
            assert not one.device.sim.memory[begin : begin + buffer.nbytes].any()


def test_memory_that_no_cache_holds(bench: Benches) -> None:
    """pynq's default: what is written is in the device's memory; cached memory needs its flush."""
    device = bench("table").device
    for options, cached in (({}, False), ({"cacheable": 0}, False), ({"cacheable": 1}, True)):
        buffer = device.allocate((3, 4), np.uint16, **options)
        begin = buffer.physical_address - device.sim.memory_base
        pages = device.sim.memory[begin : begin + buffer.nbytes].view(np.uint16)
        buffer[:] = 7
        assert bool((pages == 7).all()) is not cached
        buffer.flush()
        assert (pages == 7).all()
        pages[:] = 9
        assert bool((buffer == 9).all()) is not cached
        buffer.invalidate()
        assert (buffer == 9).all()


def test_the_receive_channel_is_first(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench("table")
    with one.open() as accelerator:
        dma = accelerator._engine.dma.mmio
        lengths: list[int] = []
        real = dma.write
        with monkeypatch.context() as patched:
            patched.setattr(dma, "write", lambda a, v: (lengths.append(a), real(a, v))[1])
            accelerator.predict(accelerator.samples.inputs)
        assert [a for a in lengths if a in (SEND + LENGTH, RECEIVE + LENGTH)] == [
            RECEIVE + LENGTH,
            SEND + LENGTH,
        ]


def test_fewer_bytes_than_expected(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench("table")
    with one.open() as accelerator:
        engine = accelerator._engine
        with monkeypatch.context() as patched:
            patched.setattr(engine.dma.mmio, "read", faked(engine.dma.mmio.read, {RECEIVE + LENGTH: 8}))
            with pytest.raises(one.package.TransferError, match="8 bytes of results came instead of 384"):
                accelerator.predict(accelerator.samples.inputs)
        assert not engine.in_flight
        assert works(accelerator)


def test_the_accelerator_reports_an_error(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bytes came, and yet the error register is set."""
    one = bench("table")
    with one.open() as accelerator:
        engine, registers = accelerator._engine, one.package.transfer.registers
        real = engine.read
        seen: list[int] = []

        def read(register: Any) -> int:
            if register is registers.ERRORS and len(seen) < 2:  # by wait, then for the error's text
                seen.append(1)
                return 1
            return int(real(register))

        with monkeypatch.context() as patched:
            patched.setattr(engine, "read", read)
            with pytest.raises(one.package.TransferError, match="the accelerator reports an error"):
                accelerator.predict(accelerator.samples.inputs)
        assert not engine.in_flight
        assert works(accelerator)


def slow(
    engine: Any, transfer: Any, given: Callable[[float], int], ends: float, patched: pytest.MonkeyPatch
) -> list[int]:
    """A batch under way for ``ends`` seconds, with ``given`` of the seconds as its results so far.

    Each look at the clock takes 0.6 s.  Returns the counts that are read.
    """
    seconds, seen = [0.0], []
    status, real = engine._status, engine.read

    def monotonic() -> float:
        seconds[0] += 0.6
        return seconds[0]

    def read(register: Any) -> int:
        if register is not transfer.registers.FRAMES_OUT:
            return int(real(register))
        seen.append(given(seconds[0]))
        return seen[-1]

    patched.setattr(transfer, "time", SimpleNamespace(monotonic=monotonic))
    patched.setattr(transfer, "RESET_SECONDS", 1e6)
    patched.setattr(engine, "read", read)
    patched.setattr(engine, "_status", lambda offset: status(offset) | IDLE if seconds[0] > ends else 0)
    return seen


def begin(accelerator: Any) -> None:
    """A batch of four frames, whose results have come."""
    engine = accelerator._engine
    engine.start(accelerator._inputs[0][:4], accelerator._results[0][:4])
    while not engine._status(RECEIVE) & IDLE:
        pass


def test_a_batch_longer_than_the_time_limit(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is the time between two results: while there are more each time, the batch goes on."""
    one = bench("table")
    with one.open(timeout=1.0) as accelerator:
        engine, transfer = accelerator._engine, one.package.transfer
        for first in (0, 4):  # the counter goes on where the batch before has left it
            begin(accelerator)
            with monkeypatch.context() as patched:
                # one a second: a look at them before the limit is over once more would find no progress
                seen = slow(engine, transfer, lambda t, n=first: n + min(4, int(t)), 6.0, patched)
                engine.wait()
            assert seen == [first + 1, first + 3, first + 4]
            assert engine._given == first + 4
        assert works(accelerator)


@pytest.mark.parametrize("before", [0, 4])
@pytest.mark.parametrize("came", [0, 1])
def test_results_that_stop(before: int, came: int, bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """None since the last batch, or none after the first: the time is over at the next look."""
    one = bench("table")
    with one.open(timeout=1.0) as accelerator:
        engine = accelerator._engine
        if before:
            accelerator.predict(accelerator.samples.inputs[:before])
        begin(accelerator)
        with monkeypatch.context() as patched:
            seen = slow(engine, one.package.transfer, lambda _: before + came, 100.0, patched)
            with pytest.raises(one.package.TransferTimeoutError, match="no result came within 1 s"):
                engine.wait()
        assert seen == [before + came] * (came + 2)  # and once for the text
        assert engine._given == 0
        assert works(accelerator)


def test_closed_in_the_middle(bench: Benches) -> None:
    """Buffers are given back when the DMA no longer writes into them."""
    one = bench("table")
    accelerator = one.open()
    dma = accelerator._engine.dma.mmio
    one.device.sim.inject(hang=True)
    accelerator._engine.start(accelerator._inputs[0][:2], accelerator._results[0][:2])
    assert not dma.read(RECEIVE + STATUS) & IDLE
    accelerator.close()
    one.device.sim.inject()
    # a channel that was reset and started anew is at rest: it has no transfer, and no error
    assert dma.read(RECEIVE + LENGTH) == 0
    assert not dma.read(RECEIVE + STATUS) & (HALTED | ERRORS)
    assert not accelerator._engine.in_flight
    with one.open() as again:
        assert works(again)
