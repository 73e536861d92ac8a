"""The bench of a generated network, for cocotb: streams, registers, tlast, resets, inner tensors.

It reads bench.json (what the network looks like) and a folder of vectors: input.hex and
result.hex hold one beat a line, <tensor>.hex the words of an inner stream.  The plusargs
``+bench=FILE``, ``+vectors=FOLDER`` and ``+frames=N`` say which.  Needs cocotb alone.
"""

from __future__ import annotations

import ctypes
import json
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

HERE = Path(__file__).resolve().parent
PERIOD_NS = 10


def _argument(name: str, default: str) -> str:
    value = cocotb.plusargs.get(name, default)
    return default if value is True else value


CONFIG = json.loads(Path(_argument("bench", str(HERE / "bench.json"))).read_text(encoding="utf-8"))
VECTORS = Path(_argument("vectors", str(HERE / "vectors")))
REGISTERS = CONFIG["registers"]
ERRORS = CONFIG["errors"]
IN_BEATS, OUT_BEATS = CONFIG["in_beats"], CONFIG["out_beats"]
BEAT_BYTES = CONFIG["beat_bits"] // 8
ALL_BYTES = (1 << BEAT_BYTES) - 1


def read_words(path: Path) -> list[int]:
    """The words of a hexadecimal file; comments begin with //."""
    lines = path.read_text(encoding="ascii").splitlines()
    return [int(line, 16) for line in lines if line and not line.startswith("//")]


def input_frames() -> list[list[int]]:
    """The frames to send, a list of beats each."""
    beats = read_words(VECTORS / "input.hex")
    frames = [beats[i : i + IN_BEATS] for i in range(0, len(beats), IN_BEATS)]
    return frames[: int(_argument("frames", str(len(frames))))]


FRAMES = input_frames()

LONGEST_NS = 16 * (len(FRAMES) + 4) * CONFIG["timeout_cycles"] * PERIOD_NS
"""Far more than any test takes: an accelerator that answers nonsense for ever must not hang the bench."""


class Pauses:
    """Decides clock by clock whether a side waits, from a seed of its own."""

    def __init__(self, name: str, percent: int) -> None:
        self.percent = percent
        self.random = random.Random(f"{cocotb.RANDOM_SEED}:{name}")
        self.burst = 0

    def __call__(self) -> bool:
        """True: wait in this clock.  Short pauses and, now and then, a long one."""
        if self.burst:
            self.burst -= 1
            return True
        if self.percent and self.random.randrange(100) < self.percent:
            self.burst = self.random.choice((0, 0, 0, 1, 2, 5, 17))
            return True
        return False


class Source:
    """Drives s_axis; ``sent`` counts beats that were taken."""

    def __init__(self, dut, pauses: Pauses) -> None:
        self.dut = dut
        self.pauses = pauses
        self.sent = 0

    async def send(self, beats: list[tuple[int, int, int]]) -> None:
        """Send (data, keep, last) beats; valid stays until a beat is taken."""
        dut, edge = self.dut, RisingEdge(self.dut.clk_i)
        for data, keep, last in beats:
            while self.pauses():
                dut.s_axis_tvalid.value = 0
                await edge
            dut.s_axis_tdata.value = data
            dut.s_axis_tkeep.value = keep
            dut.s_axis_tlast.value = last
            dut.s_axis_tvalid.value = 1
            await edge
            waited = 0
            while not dut.s_axis_tready.value:
                waited += 1
                assert waited <= CONFIG["timeout_cycles"], f"deadlock: input beat {self.sent} is not taken"
                await edge
            self.sent += 1
        dut.s_axis_tvalid.value = 0


class Sink:
    """Takes m_axis beats into ``beats`` as (data, keep, last)."""

    def __init__(self, dut, pauses: Pauses) -> None:
        self.dut = dut
        self.pauses = pauses
        self.beats: list[tuple[int, int, int]] = []
        self.may_withdraw = False  # a reset may take back a beat that is offered

    async def run(self) -> None:
        """Run for the rest of the test."""
        dut, edge = self.dut, RisingEdge(self.dut.clk_i)
        ready, held = 0, None
        while True:
            wanted = 0 if self.pauses() else 1
            if wanted != ready:
                dut.m_axis_tready.value = ready = wanted
            await edge
            if not dut.m_axis_tvalid.value:
                assert held is None or self.may_withdraw, "m_axis_tvalid fell before the beat was taken"
                held = None
                continue
            beat = (int(dut.m_axis_tdata.value), int(dut.m_axis_tkeep.value), int(dut.m_axis_tlast.value))
            assert held in (None, beat), "an m_axis beat changed while it waited"
            held = None if ready else beat
            if ready:
                self.beats.append(beat)


class AxiLite:
    """Reads and writes registers, address and data in the order asked for."""

    def __init__(self, dut) -> None:
        self.dut = dut

    async def handshake(self, waiting, answering) -> None:
        """Raise ``waiting`` until ``answering`` is 1 at a clock edge."""
        waiting.value = 1
        for _ in range(100):
            await RisingEdge(self.dut.clk_i)
            if answering.value:
                waiting.value = 0
                return
        raise AssertionError(f"{answering._name} does not come")

    async def read(self, address: int) -> int:
        """The 32-bit register at a byte address."""
        dut = self.dut
        dut.s_axi_araddr.value = address
        await self.handshake(dut.s_axi_arvalid, dut.s_axi_arready)
        await self.handshake(dut.s_axi_rready, dut.s_axi_rvalid)
        assert int(dut.s_axi_rresp.value) == 0
        return int(dut.s_axi_rdata.value)

    async def write(self, address: int, data: int, strobes: int = 15, data_first: bool = False) -> None:
        """Write a register; ``strobes`` is one bit a byte."""
        dut = self.dut
        dut.s_axi_awaddr.value = address
        dut.s_axi_wdata.value = data
        dut.s_axi_wstrb.value = strobes
        channels = [(dut.s_axi_awvalid, dut.s_axi_awready), (dut.s_axi_wvalid, dut.s_axi_wready)]
        for valid, ready in reversed(channels) if data_first else channels:
            await self.handshake(valid, ready)
        await self.handshake(dut.s_axi_bready, dut.s_axi_bvalid)
        assert int(dut.s_axi_bresp.value) == 0


class Bench:
    """Clock, reset, source, sink and registers of one test."""

    def __init__(self, dut, name: str, source_percent: int = 0, sink_percent: int = 0) -> None:
        self.dut = dut
        self.source = Source(dut, Pauses(f"{name}:source", source_percent))
        self.sink = Sink(dut, Pauses(f"{name}:sink", sink_percent))
        self.axi = AxiLite(dut)

    async def start(self) -> None:
        """Start the clock, reset the IP and open the sink."""
        dut = self.dut
        for name in ("s_axis_tvalid", "m_axis_tready", "s_axi_awvalid", "s_axi_wvalid", "s_axi_bready"):
            getattr(dut, name).value = 0
        for name in ("s_axi_arvalid", "s_axi_rready", "s_axi_awprot", "s_axi_arprot"):
            getattr(dut, name).value = 0
        dut.select_i.value = CONFIG["select"]
        dut.rst_ni.value = 0
        cocotb.start_soon(Clock(dut.clk_i, PERIOD_NS, unit="ns").start())
        await ClockCycles(dut.clk_i, 8)
        dut.rst_ni.value = 1
        await ClockCycles(dut.clk_i, 4)
        cocotb.start_soon(self.sink.run())

    async def register(self, name: str) -> int:
        """Read a register by name."""
        return await self.axi.read(REGISTERS[name])

    async def until(self, beats: int) -> None:
        """Wait for ``beats`` result beats; fails where nothing moves for too long."""
        limit = CONFIG["timeout_cycles"]
        while len(self.sink.beats) < beats:
            before = (len(self.sink.beats), self.source.sent)
            for _ in range(64):
                await ClockCycles(self.dut.clk_i, limit // 64 + 1)
                if len(self.sink.beats) >= beats:
                    return
            moved = (len(self.sink.beats), self.source.sent)
            assert moved != before, (
                f"deadlock: {moved[1]} input beats were taken and {moved[0]} of {beats} result beats "
                f"came, then nothing moved for {limit} clocks"
            )

    async def exchange(self, frames: list[int], ends: set[int]) -> None:
        """Send the frames with these indices, check all that comes back.

        ``ends`` are the positions in ``frames`` that end a packet.
        """
        self.sink.beats.clear()
        beats = []
        for position, index in enumerate(frames):
            for number, data in enumerate(FRAMES[index]):
                last = position in ends and number == IN_BEATS - 1
                beats.append((data, ALL_BYTES, int(last)))
        task = cocotb.start_soon(self.source.send(beats))
        await self.until(len(frames) * OUT_BEATS)
        # the trailing beats of a frame may follow its result where they do not matter
        for _ in range(CONFIG["timeout_cycles"]):
            if task.done():
                break
            await RisingEdge(self.dut.clk_i)
        assert task.done(), "the input was not taken in whole"
        await ClockCycles(self.dut.clk_i, 50)
        text = "".join(f"{data:x}\n" for data, _, _ in self.sink.beats)
        Path("received.hex").write_text(text, encoding="ascii")
        ctypes.CDLL(None).fflush(None)  # the monitors' files, which the simulator holds open
        check_streams(frames)
        self.check_results(frames, ends)

    def check_results(self, frames: list[int], ends: set[int]) -> None:
        """Every beat, its tkeep and its tlast, and no beat too many."""
        expected = read_words(VECTORS / "result.hex")
        assert len(self.sink.beats) == len(frames) * OUT_BEATS, "more result beats came than frames were sent"
        for number, (data, keep, last) in enumerate(self.sink.beats):
            position, beat = divmod(number, OUT_BEATS)
            wanted = expected[frames[position] * OUT_BEATS + beat]
            assert data == wanted, f"frame {position}, beat {beat}: {data:#x} came, {wanted:#x} is right"
            assert keep == ALL_BYTES, f"frame {position}, beat {beat}: tkeep {keep:#x}"
            ends_packet = position in ends and beat == OUT_BEATS - 1
            assert last == int(ends_packet), f"frame {position}, beat {beat}: tlast {last}"


def check_streams(frames: list[int]) -> None:
    """Compare what the monitors wrote since the last reset with the expected words.

    Lanes past a tensor's last channel are undefined on these streams: ``masks`` holds, for
    the words of a pixel, the bits that count.
    """
    for stream in CONFIG["streams"]:
        path = VECTORS / f"{stream['file']}.hex"
        expected = read_words(path)
        masks = [int(mask, 16) for mask in stream["masks"]]
        words = stream["words"]
        seen = Path(f"{stream['monitor']}.hex").read_text(encoding="ascii").splitlines()
        resets = [number for number, line in enumerate(seen) if line == "reset"]
        got = [int(line, 16) for line in seen[resets[-1] + 1 if resets else 0 :]]
        assert len(got) == words * len(frames), (
            f"{stream['tensor']}: {len(got)} words passed, {words * len(frames)} are right"
        )
        for number, word in enumerate(got):
            position, offset = divmod(number, words)
            wanted = expected[frames[position] * words + offset]
            mask = masks[offset % len(masks)]
            assert word & mask == wanted & mask, (
                f"{stream['tensor']}: frame {position}, word {offset}: {word & mask:#x} passed, "
                f"{wanted & mask:#x} is right"
            )


def all_frames() -> list[int]:
    """The indices of all frames."""
    return list(range(len(FRAMES)))


@cocotb.test(timeout_time=LONGEST_NS, timeout_unit="ns")
async def registers_answer(dut) -> None:
    """Identity, version, hash, sizes, strobes, unmapped addresses."""
    bench = Bench(dut, "registers")
    await bench.start()
    for name, value in CONFIG["values"].items():
        assert await bench.register(name) == value, name
    for name in ("FRAMES_IN", "FRAMES_OUT", "BUSY_CYCLES", "INPUT_STALLS", "OUTPUT_STALLS", "ERRORS"):
        assert await bench.register(name) == 0, name
    assert await bench.axi.read(0xFC) == 0
    await bench.axi.write(0xFC, 0xFFFFFFFF)
    await bench.axi.write(REGISTERS["ID"], 0)
    assert await bench.register("ID") == CONFIG["values"]["ID"]
    await bench.axi.write(REGISTERS["CONTROL"], 1, strobes=0b1110)
    assert await bench.register("CONTROL") == 0, "a byte without its strobe was written"
    await bench.axi.write(REGISTERS["CONTROL"], 0xFFFFFFFF, data_first=True)
    assert await bench.register("CONTROL") == 1, "only bit 0 exists"
    await bench.axi.write(REGISTERS["CONTROL"], 0)
    assert await bench.register("CONTROL") == 0


@cocotb.test(timeout_time=LONGEST_NS, timeout_unit="ns")
async def frames_back_to_back(dut) -> None:
    """All frames as one packet, nobody waits; then the counters."""
    bench = Bench(dut, "full")
    await bench.start()
    frames = all_frames()
    await bench.exchange(frames, {len(frames) - 1})
    assert await bench.register("FRAMES_IN") == len(frames)
    assert await bench.register("FRAMES_OUT") == len(frames)
    assert await bench.register("ERRORS") == 0
    assert await bench.register("OUTPUT_STALLS") == 0
    busy = await bench.register("BUSY_CYCLES")
    assert busy >= len(frames) * max(IN_BEATS, OUT_BEATS)
    await ClockCycles(dut.clk_i, 20)
    assert await bench.register("BUSY_CYCLES") == busy, "busy while nothing is in flight"


@cocotb.test(timeout_time=LONGEST_NS, timeout_unit="ns")
@cocotb.parametrize(source=[30, 0, 70], sink=[30, 70])
async def frames_with_stalls(dut, source: int, sink: int) -> None:
    """All frames as one packet, both sides pause at random."""
    bench = Bench(dut, f"stalls-{source}-{sink}", source, sink)
    await bench.start()
    frames = all_frames()
    await bench.exchange(frames, {len(frames) - 1})
    assert await bench.register("ERRORS") == 0
    assert await bench.register("FRAMES_OUT") == len(frames)


@cocotb.test(timeout_time=LONGEST_NS, timeout_unit="ns")
@cocotb.parametrize(ends=["each", "none"])
async def packets(dut, ends: str) -> None:
    """Each frame is a packet; or no frame ends one."""
    bench = Bench(dut, f"packets-{ends}", 20, 20)
    await bench.start()
    frames = all_frames()
    await bench.exchange(frames, set(frames) if ends == "each" else set())
    assert await bench.register("ERRORS") == 0


@cocotb.test(timeout_time=LONGEST_NS, timeout_unit="ns")
async def soft_reset_inside_a_frame(dut) -> None:
    """A frame is broken off by a soft reset; the frames after it are clean."""
    bench = Bench(dut, "soft-reset", 20, 20)
    await bench.start()
    chance = random.Random(f"{cocotb.RANDOM_SEED}:soft-reset")
    cut = chance.randrange(1, IN_BEATS) if IN_BEATS > 1 else 1
    beats = [(data, ALL_BYTES, 0) for data in FRAMES[0] + FRAMES[-1][:cut]]
    task = cocotb.start_soon(bench.source.send(beats))
    while not task.done():
        await RisingEdge(dut.clk_i)
    bench.sink.may_withdraw = True
    await bench.axi.write(REGISTERS["CONTROL"], 1)
    for name in ("FRAMES_IN", "FRAMES_OUT", "BUSY_CYCLES", "INPUT_STALLS", "OUTPUT_STALLS", "ERRORS"):
        assert await bench.register(name) == 0, name
    assert not dut.s_axis_tready.value and not dut.m_axis_tvalid.value, "the core runs in soft reset"
    assert await bench.register("ID") == CONFIG["values"]["ID"]
    await bench.axi.write(REGISTERS["CONTROL"], 0)
    bench.sink.may_withdraw = False
    await ClockCycles(dut.clk_i, 4)
    frames = all_frames()
    await bench.exchange(frames, {len(frames) - 1})
    assert await bench.register("FRAMES_OUT") == len(frames)
    assert await bench.register("ERRORS") == 0


@cocotb.test(timeout_time=LONGEST_NS, timeout_unit="ns")
async def errors_are_sticky(dut) -> None:
    """A tlast inside a frame and a partial beat each set their bit, which stays until cleared."""
    bench = Bench(dut, "errors")
    await bench.start()
    cases = [("PARTIAL_BEAT", ALL_BYTES >> 1, 0)]
    if IN_BEATS > 1:
        cases.append(("TLAST_INSIDE_FRAME", ALL_BYTES, 1))
    for name, keep, last in cases:
        bit = 1 << ERRORS[name]
        await bench.source.send([(FRAMES[0][0], keep, last)])
        await ClockCycles(dut.clk_i, 4)
        assert await bench.register("ERRORS") == bit, name
        await bench.axi.write(REGISTERS["ERRORS"], ~bit & 0xFFFFFFFF)
        assert await bench.register("ERRORS") == bit, "another bit's clear took it away"
        await bench.axi.write(REGISTERS["ERRORS"], bit)
        assert await bench.register("ERRORS") == 0, name
        await bench.source.send([(FRAMES[0][0], keep, last)])
        await ClockCycles(dut.clk_i, 4)
        bench.sink.may_withdraw = True
        await bench.axi.write(REGISTERS["CONTROL"], 1)
        assert await bench.register("ERRORS") == 0, f"{name} outlives a soft reset"
        await bench.axi.write(REGISTERS["CONTROL"], 0)
        await ClockCycles(dut.clk_i, 4)
        bench.sink.may_withdraw = False
    await bench.exchange([0], {0})
    assert await bench.register("ERRORS") == 0
