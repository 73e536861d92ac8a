"""The accelerator as an object: frames in, classes out."""

from __future__ import annotations

import json
import math
import os
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from . import registers
from .description import FOLDER, Description, Samples, load_description, load_network, load_samples
from .errors import AcceleratorError, BatchError, BufferExhaustedError, whole_number
from .frames import Checker
from .host import Host
from .opening import Lock, Opened, board_name, clock_mhz, open_overlay
from .reports import Counters, SelfTestReport, Throughput
from .selftest import self_test
from .transfer import Engine

__all__ = ["Accelerator", "load"]

BUFFER_BYTES = 1 << 20
"""What one of the four DMA buffers takes unless ``max_batch`` says otherwise."""

MOST_FRAMES = 1024

CLOCK_TOLERANCE = 0.01
"""pynq sets a clock to the nearest that the dividers make; a clock further above the plan is warned of."""


class Accelerator:
    """One network on one device.  Use ``Accelerator.open()``, and close it or take it as a context.

    Frames are NumPy arrays [N, *shape] of ``description.given.dtype``: integer codes (pixels
    where the network begins with a table) in torch's order, or with ``layout="HWC"`` channels
    last, as cameras give them.  Not for several threads at once.
    """

    def __init__(
        self,
        opened: Opened,
        *,
        timeout: float | None = None,
        max_batch: int | None = None,
        host: str = "auto",
        description: Description | None = None,
    ) -> None:
        """Take a loaded design; ``timeout`` is the longest time in seconds between two results.

        ``max_batch``: the most frames of one transfer.  ``host``: what computes the network's
        layers on the host: "engine" (the CPU engine in C), "numpy", or "auto", the engine where
        it is the faster and there is a compiler; the numbers are the same.  Raises
        BitstreamError where the design is not the one of this package.
        """
        self.description = load_description() if description is None else description
        self.planned = self.description.planned
        self.simulated = bool(getattr(opened.device, "simulated", False))
        self.kind = "simulated" if self.simulated else board_name(opened.device)
        self.overlay = opened.overlay
        self._device = opened.device
        self._checker = Checker(self.description)
        self._samples: Samples | None = None
        self._engine = Engine(opened.dma, opened.mmio, self.description, self._timeout(timeout))
        self._engine.check_identity()
        self._engine.check_dma()
        self._engine.recover()
        self.clock_mhz = clock_mhz()
        if self.clock_mhz > self.planned.clock_mhz * (1 + CLOCK_TOLERANCE):
            warnings.warn(
                f"the clock is {self.clock_mhz:g} MHz, the design was made for {self.planned.clock_mhz:g}: "
                "results may be wrong",
                RuntimeWarning,
                stacklevel=3,
            )
        self.max_batch = self._batch(max_batch)
        self._inputs = [self._allocate(self.description.input.bytes) for _ in range(2)]
        self._results = [self._allocate(self.description.output.bytes) for _ in range(2)]
        self._host = Host(self.description, *load_network(), host)
        self.host = self._host.layers
        # also where nobody closes it: a cell that fails must not keep the device until its kernel ends
        buffers = [*self._inputs, *self._results]
        self._end = weakref.finalize(self, _end, self._engine, buffers, self._host, opened.lock)

    @classmethod
    def open(
        cls,
        bitfile: str | os.PathLike[str] | None = None,
        device: Any = None,
        *,
        download: bool = True,
        timeout: float | None = None,
        max_batch: int | None = None,
        host: str = "auto",
    ) -> Accelerator:
        """Load the bitstream (the package's own unless ``bitfile`` names one) and take the accelerator.

        ``device``: a pynq.Device, the active one by default.  ``download=False`` leaves the
        programmable logic as it is.  The rest as of ``Accelerator``.  Raises an
        AcceleratorError that says what to do.
        """
        description = load_description()
        opened = open_overlay(description, bitfile, device, download)
        try:
            return cls(opened, timeout=timeout, max_batch=max_batch, host=host, description=description)
        except BaseException:
            opened.lock.release()
            raise

    # ---- inference

    def predict(self, x: np.ndarray, layout: str = "CHW") -> np.ndarray:
        """The classes int64 [N] of frames [N, *shape]; ties go to the lowest index."""
        return np.argmax(self.predict_scores(x, layout), axis=1)

    def predict_scores(self, x: np.ndarray, layout: str = "CHW") -> np.ndarray:
        """The scores float32 [N, classes] of frames [N, *shape], the golden model's bit for bit."""
        return self._predict(x, layout, (self.description.classes,), np.float32, self._host.scores)

    def predict_sums(self, x: np.ndarray, layout: str = "CHW") -> np.ndarray:
        """The integers int32 [N, C, H, W] that leave the chip for frames [N, *shape].

        A batch is one transfer each way; a batch of more than ``max_batch`` frames goes in
        parts, the next being packed while the chip computes.
        """
        return self._predict(x, layout, self.description.output.chw, np.int32, self._host.sums)

    def _predict(
        self,
        x: np.ndarray,
        layout: str,
        shape: tuple[int, ...],
        dtype: type,
        take: Callable[[np.ndarray, np.ndarray], None],
    ) -> np.ndarray:
        """Frames through the chip; ``take`` makes results, of ``shape`` and ``dtype``, from its bytes."""
        self._check_open()
        x = self._checker.check(x, layout)
        parts = [x[i : i + self.max_batch] for i in range(0, len(x), self.max_batch)]
        results = np.empty((len(x), *shape), dtype)
        places = [results[i : i + self.max_batch] for i in range(0, len(x), self.max_batch)]
        self._pack(parts[0], 0, layout)
        try:
            for i, part in enumerate(parts):
                side = i % 2
                self._engine.start(self._inputs[side][: len(part)], self._results[side][: len(part)])
                # while the chip computes: the last part's result, the next part's frames
                if i > 0:
                    self._unpack(1 - side, places[i - 1], take)
                if i + 1 < len(parts):
                    self._pack(parts[i + 1], 1 - side, layout)
                self._engine.wait()
        except BaseException:
            # an interrupt of the kernel, say: nothing may write into the buffers behind our back
            if self._engine.in_flight:
                self._engine.recover()
            raise
        self._unpack((len(parts) - 1) % 2, places[-1], take)
        return results

    def scores_of(self, sums: np.ndarray) -> np.ndarray:
        """The scores float32 [N, classes] for the integers int32 [N, C, H, W] that leave the chip."""
        self._check_open()
        shape = self.description.output.chw
        if not isinstance(sums, np.ndarray) or sums.dtype != np.int32 or sums.shape[1:] != shape:
            raise BatchError(
                f"these are no sums of this network, which are int32 [N, {', '.join(map(str, shape))}]",
                module="sums",
                remedy="Pass what predict_sums gave",
            )
        scores = np.empty((len(sums), self.description.classes), np.float32)
        if len(sums):
            self._host.scores_of(sums, scores)
        return scores

    # ---- what the device says of itself

    @property
    def samples(self) -> Samples:
        """The frames in this package, with labels where there are any, and their golden answers."""
        if self._samples is None:
            self._samples = load_samples()
        return self._samples

    @property
    def verdict(self) -> dict[str, Any] | None:
        """What ``xnorhw verify`` last said of this build when the wheel was made; None where it never ran."""
        for path in (FOLDER / "verify.json", FOLDER.parent.parent / "verify.json"):
            if path.is_file():
                found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                return found
        return None

    def self_test(self) -> SelfTestReport:
        """Compare the device with the golden model; raises SelfTestError with the first difference."""
        self._check_open()
        return self_test(self)

    def counters(self) -> Counters:
        """The accelerator's counters since its last reset."""
        self._check_open()
        read = self._engine.read
        errors = read(registers.ERRORS)
        return Counters(
            read(registers.FRAMES_IN),
            read(registers.FRAMES_OUT),
            read(registers.BUSY_CYCLES),
            read(registers.INPUT_STALLS),
            read(registers.OUTPUT_STALLS),
            tuple(e.description for e in registers.ERROR_BITS if errors >> e.bit & 1),
        )

    def throughput_test(self, frames: int = 1000) -> Throughput:
        """Run ``frames`` frames (the samples over and over) and report measured against planned."""
        self._check_open()
        if whole_number(frames, "frames") < 1:
            raise AcceleratorError(
                f"{frames} frames were asked for", module="frames", remedy="Ask for one or more"
            )
        inputs = self.samples.inputs
        # parts enough that one overlaps the next, few enough that the 32-bit counter goes round at most once
        block = min(frames, 8 * self.max_batch, max(1, (1 << 31) // self.planned.latency_cycles))
        x = np.resize(inputs, (block, *inputs.shape[1:]))
        latency, latency_cycles = self._timed(x[:1])
        seconds, cycles = 0.0, 0
        for done in range(0, frames, block):
            more = self._timed(x[: frames - done])
            seconds, cycles = seconds + more[0], cycles + more[1]
        clock, planned = clock_mhz(), self.planned
        return Throughput(
            kind=self.kind,
            simulated=self.simulated,
            frames=frames,
            batch=min(frames, self.max_batch),
            seconds=seconds,
            fps=frames / seconds,
            latency_seconds=latency,
            cycles_per_frame=cycles / frames,
            latency_cycles=latency_cycles,
            clock_mhz=clock,
            fps_by_clock=clock * 1e6 * frames / cycles,
            planned_clock_mhz=planned.clock_mhz,
            planned_cycles_per_frame=planned.cycles_per_frame,
            planned_latency_cycles=planned.latency_cycles,
            planned_fps=planned.fps,
        )

    def _timed(self, x: np.ndarray) -> tuple[float, int]:
        before = self._engine.read(registers.BUSY_CYCLES)
        begin = time.perf_counter()
        self.predict_sums(x)
        seconds = time.perf_counter() - begin
        return seconds, (self._engine.read(registers.BUSY_CYCLES) - before) % (1 << 32)

    def abort_a_transfer(self, x: np.ndarray) -> None:
        """Begin a batch, keep its last beat back, and reset: what a program that dies leaves behind.

        The accelerator stands inside of a frame and the DMA waits for a result that never comes.
        """
        self._check_open()
        x = self._checker.check(x)[: self.max_batch]
        self._pack(x, 0, "CHW")
        nearly = len(x) * self.description.input.bytes - self.description.beat_bytes
        if nearly > 0:
            self._engine.start(self._inputs[0].reshape(-1)[:nearly], self._results[0][: len(x)])
            self._engine.await_sent()
        self._engine.recover()

    # ---- options and buffers

    def _timeout(self, wished: float | None) -> float:
        if wished is None:
            return 2 + 200 * self.planned.latency_cycles / (self.planned.clock_mhz * 1e6)
        if isinstance(wished, (int, float, np.number)) and 0 < wished < math.inf:
            return float(wished)
        raise AcceleratorError(
            f"{wished!r} is no time limit", module="timeout", remedy="Pass seconds, more than 0"
        )

    def _batch(self, wished: int | None) -> int:
        bytes_each = max(self.description.input.bytes, self.description.output.bytes)
        longest = self._engine.longest // bytes_each
        if longest < 1:
            raise AcceleratorError(
                f"a frame has {bytes_each} bytes, the DMA's longest transfer is {self._engine.longest}",
                module="dma",
                remedy="Give the DMA a wider length register (c_sg_length_width) in the block design",
            )
        if wished is None:
            return max(1, min(longest, MOST_FRAMES, BUFFER_BYTES // bytes_each))
        if not 1 <= whole_number(wished, "max_batch") <= longest:
            raise AcceleratorError(
                f"{wished} frames do not fit in one transfer, which takes 1 to {longest}",
                module="max_batch",
                remedy="Longer batches are cut by themselves: leave max_batch out",
            )
        return int(wished)

    def _allocate(self, frame_bytes: int) -> Any:
        try:
            # pynq's default is memory that no cache holds, in which NumPy is slow
            buffer = self._device.allocate((self.max_batch, frame_bytes), np.dtype(np.uint8), cacheable=1)
        except (MemoryError, OSError, RuntimeError) as error:
            raise BufferExhaustedError(
                f"no contiguous memory for {self.max_batch * frame_bytes} bytes ({error})",
                module="buffers",
                remedy="Pass a smaller max_batch, or free the buffers of other programs and notebooks: "
                "shut their kernels down",
            ) from error
        buffer[:] = 0
        # pynq flushes what is sent alone: zeros left in the cache could be written over results
        buffer.flush()
        return buffer

    def _pack(self, x: np.ndarray, side: int, layout: str) -> None:
        self._host.pack(x, np.asarray(self._inputs[side][: len(x)]), layout)

    def _unpack(self, side: int, place: np.ndarray, take: Callable[[np.ndarray, np.ndarray], None]) -> None:
        take(np.asarray(self._results[side][: len(place)]), place)

    # ---- the end

    def _check_open(self) -> None:
        if not self._end.alive:
            raise AcceleratorError("it was closed", module="accelerator", remedy="Open another")

    def close(self) -> None:
        """Give the device back: the DMA is reset before its buffers are released."""
        try:
            self._end()
        finally:
            self._inputs, self._results = [], []

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(engine: Engine, buffers: list[Any], host: Host, lock: Lock) -> None:
    """What closing does; ``buffers`` are held until no transfer can reach them any more."""
    try:
        if engine.in_flight:
            engine.recover()
    finally:
        buffers.clear()
        host.close()
        lock.release()


def load(bitfile: str | os.PathLike[str] | None = None, device: Any = None, **options: Any) -> Accelerator:
    """``Accelerator.open``."""
    return Accelerator.open(bitfile, device, **options)
