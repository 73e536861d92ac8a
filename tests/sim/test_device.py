"""The simulated device: its registers, its DMA by PG021's book, its memory, its clock."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.sim.device_fixtures import (
    ADDRESS,
    CONTROL,
    DECODE_ERROR,
    ERROR,
    HALTED,
    IDLE,
    INT_ERROR,
    IOC,
    LENGTH,
    MM2S,
    RESET,
    RUN,
    S2MM,
    SLAVE_ERROR,
    STATUS,
    DeviceBuild,
    Dma,
)
from xnorhw.ir.errors import XnorhwError
from xnorhw.ir.registers import ABI_MAJOR, ABI_MINOR, ERRORS, IDENTITY, REGISTERS
from xnorhw.sim import model
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.device import BusError, SimDevice, address_map, prepare

OFFSET = {r.name: r.offset for r in REGISTERS}
RECEIVE = 0x10000
CLOCKS = 20_000


@pytest.fixture
def device(device_build: DeviceBuild) -> Iterator[SimDevice]:
    with device_build.device(memory_bytes=1 << 20) as found:
        yield found


@pytest.fixture
def dma(device: SimDevice) -> Dma:
    return Dma(device)


def put(device: SimDevice, build: DeviceBuild, frames: int = 1, offset: int = 0) -> int:
    """Copy frames into the device's memory; their size in bytes."""
    data = build.frames[:frames].reshape(-1)
    device.memory[offset : offset + data.size] = data
    return int(data.size)


def result(device: SimDevice, build: DeviceBuild, frames: int = 1) -> np.ndarray:
    size = build.results.shape[1]
    return device.memory[RECEIVE : RECEIVE + frames * size].reshape(frames, size)


# --- registers ---------------------------------------------------------------------------


def test_the_accelerators_registers(device: SimDevice, device_build: DeviceBuild) -> None:
    plan, number = device_build.stored.plan, device_build.stored.info.build_hash
    wanted = dict.fromkeys(OFFSET, 0) | {
        "ID": IDENTITY,
        "ABI": ABI_MAJOR << 16 | ABI_MINOR,
        "BUILD_HASH0": number & 0xFFFFFFFF,
        "BUILD_HASH1": number >> 32,
        "IN_BEATS": plan.input_frame.beats,
        "OUT_BEATS": plan.output_frame.beats,
    }
    assert {name: device.read32(device.ip_base + offset) for name, offset in OFFSET.items()} == wanted
    device.write32(device.ip_base + OFFSET["CONTROL"], 0xFFFFFFFF)
    assert device.read32(device.ip_base + OFFSET["CONTROL"]) == 1
    device.write32(device.ip_base + OFFSET["ID"], 0)
    assert device.read32(device.ip_base + OFFSET["ID"]) == IDENTITY
    assert device.read32(device.ip_base + max(OFFSET.values()) + 4) == 0


def test_the_addresses_are_the_block_designs(device: SimDevice, device_build: DeviceBuild) -> None:
    design = device_build.stored.design
    assert design is not None
    offsets = {segment.name: segment.offset for segment in design.segments}
    assert device.ip_base == offsets["accel/s_axi/registers"]
    assert device.dma_base == offsets["dma/S_AXI_LITE/Reg"]
    assert device.client.ip_base == device.ip_base and device.client.dma_base == device.dma_base


@pytest.mark.parametrize(
    "place",
    [
        lambda d: 0,
        lambda d: d.ip_base - 4,
        lambda d: d.dma_base + 0x10000,
        lambda d: d.ip_base + 2,
        lambda d: d.dma_base + 1,
        lambda d: d.memory_base,
        lambda d: d.ip_base + (1 << 32),
        lambda d: d.ip_base + (1 << 70),
        lambda d: -4,
    ],
    ids=["zero", "before", "behind", "half a word", "a byte", "memory", "above 4 GB", "no bus", "negative"],
)
def test_outside_of_the_map_is_a_bus_error(device: SimDevice, place) -> None:
    address = place(device)
    with pytest.raises(BusError, match=f"{address:#010x}"):
        device.read32(address)
    with pytest.raises(BusError, match="Registers are at"):
        device.write32(address, 1)
    assert device.read32(device.ip_base) == IDENTITY


def test_a_word_has_32_bits(device: SimDevice) -> None:
    for value in (-1, 1 << 32):
        with pytest.raises(ValueError, match="no 32-bit word"):
            device.write32(device.ip_base, value)


def test_every_access_takes_the_same_time(device_build: DeviceBuild) -> None:
    with device_build.device(access_clocks=20) as device:
        start = device.clock
        device.read32(device.ip_base)
        device.write32(device.ip_base + OFFSET["ERRORS"], 3)
        device.read32(device.dma_base)
        device.write32(device.dma_base, 0)
        assert device.clock - start == 4 * 20
        assert device.run_clocks(123) == 123 and device.clock - start == 203
        assert device.run_clocks(0) == 0


def test_registers_under_stalls(device_build: DeviceBuild) -> None:
    """Address before data, data before address, answers taken late: the same registers, the same time."""
    with device_build.device(memory_bytes=1 << 16, stalls=Stalls(3)) as device:
        start = device.clock
        for n in range(100):
            device.write32(device.ip_base + OFFSET["CONTROL"], n % 2)
            assert device.read32(device.ip_base + OFFSET["CONTROL"]) == n % 2
            assert device.read32(device.ip_base + OFFSET["ID"]) == IDENTITY
        assert device.clock - start == 300 * 16


# --- the DMA out of reset, and into it ----------------------------------------------------


def test_reset_values(dma: Dma) -> None:
    for channel in (MM2S, S2MM):
        assert dma.read(channel, CONTROL) == 0x00010002
        assert dma.read(channel, STATUS) == HALTED  # neither Idle nor SGIncld
        assert dma.read(channel, ADDRESS) == dma.read(channel, LENGTH) == 0
    dma.run()
    for channel in (MM2S, S2MM):
        assert dma.read(channel, STATUS) == 0, "not idle before the first transfer"
        assert dma.read(channel, CONTROL) == 0x00010003


def test_a_halted_channel_ignores_the_length(dma: Dma, device: SimDevice, device_build: DeviceBuild) -> None:
    size = put(device, device_build)
    dma.start(MM2S, 0, size)
    device.run_clocks(CLOCKS)
    assert dma.read(MM2S, STATUS) == HALTED and dma.read(MM2S, LENGTH) == 0
    assert device.read32(device.ip_base + OFFSET["FRAMES_IN"]) == 0
    dma.run(MM2S)
    device.run_clocks(CLOCKS)
    assert dma.read(MM2S, STATUS) == 0, "the length was not kept for later"


def test_length_zero_starts_nothing(dma: Dma, device: SimDevice) -> None:
    dma.run()
    for channel in (MM2S, S2MM):
        dma.start(channel, 0, 0)
        device.run_clocks(500)
        assert dma.read(channel, STATUS) == 0


def test_the_length_register_has_26_bits(dma: Dma, device: SimDevice, device_build: DeviceBuild) -> None:
    assert device.addresses.length_bits == 26
    size = put(device, device_build)
    dma.run()
    dma.start(MM2S, 0, 0xFC000000 | size)
    device.run_clocks(CLOCKS)
    assert dma.read(MM2S, LENGTH) == size and dma.read(MM2S, STATUS) == IDLE | IOC


def test_there_is_no_high_address_in_32_bits(dma: Dma) -> None:
    dma.write(MM2S, ADDRESS + 4, 5)
    assert dma.read(MM2S, ADDRESS + 4) == 0


@pytest.mark.parametrize("channel", [MM2S, S2MM])
def test_either_reset_resets_both_and_ends_by_itself(dma: Dma, channel: int) -> None:
    dma.run(enable=IOC | ERROR)
    dma.write(MM2S, ADDRESS, 0x1234560)
    dma.write(S2MM, ADDRESS, 0x6543210)
    dma.write(channel, CONTROL, RESET)
    assert dma.read(MM2S, CONTROL) & RESET and dma.read(S2MM, CONTROL) & RESET
    for _ in range(10):
        if not dma.read(channel, CONTROL) & RESET:
            break
    for each in (MM2S, S2MM):
        assert dma.read(each, CONTROL) == 0x00010002 and dma.read(each, STATUS) == HALTED
        assert dma.read(each, ADDRESS) == 0


def test_writes_during_a_reset_are_lost(dma: Dma) -> None:
    dma.write(MM2S, CONTROL, RESET)
    dma.write(S2MM, ADDRESS, RECEIVE)
    dma.run(MM2S)
    while dma.read(MM2S, CONTROL) & RESET:
        pass
    assert dma.read(MM2S, STATUS) == HALTED and dma.read(S2MM, ADDRESS) == 0


# --- transfers ---------------------------------------------------------------------------


def test_a_transfer_and_its_status(dma: Dma, device: SimDevice, device_build: DeviceBuild) -> None:
    sent, wanted = put(device, device_build, 3), 3 * device_build.results.shape[1]
    dma.run()
    dma.start(S2MM, RECEIVE, 4096)  # more than comes
    dma.start(MM2S, 0, sent)
    assert dma.read(S2MM, STATUS) == 0
    device.run_clocks(CLOCKS)
    assert np.array_equal(result(device, device_build, 3), device_build.results[:3])
    assert dma.read(MM2S, STATUS) == dma.read(S2MM, STATUS) == IDLE | IOC
    assert dma.read(S2MM, LENGTH) == wanted, "the bytes that came are written back"
    assert dma.read(MM2S, LENGTH) == sent
    dma.write(S2MM, STATUS, ERROR)
    assert dma.read(S2MM, STATUS) == IDLE | IOC, "only written ones clear"
    dma.write(S2MM, STATUS, IOC)
    assert dma.read(S2MM, STATUS) == IDLE and dma.read(MM2S, STATUS) == IDLE | IOC


def test_a_busy_channel_takes_no_second_transfer(
    dma: Dma, device: SimDevice, device_build: DeviceBuild
) -> None:
    sent = put(device, device_build, 2)
    put(device, device_build, 1, offset=4096)
    dma.run()
    dma.start(S2MM, RECEIVE, 2 * device_build.results.shape[1])
    dma.start(MM2S, 0, sent)
    dma.start(MM2S, 4096, sent // 2)
    device.run_clocks(CLOCKS)
    assert np.array_equal(result(device, device_build, 2), device_build.results[:2])
    assert device.read32(device.ip_base + OFFSET["FRAMES_IN"]) == 2


def test_interrupt_lines_end_a_run(dma: Dma, device: SimDevice, device_build: DeviceBuild) -> None:
    sent, wanted = put(device, device_build), device_build.results.shape[1]
    dma.run(enable=IOC)
    dma.start(S2MM, RECEIVE, wanted)
    dma.start(MM2S, 0, sent)
    first = device.run_clocks(CLOCKS)
    assert first < CLOCKS and device.interrupts == 1, "the last input beat is taken first"
    second = device.run_clocks(CLOCKS)
    assert second < CLOCKS and device.interrupts == 3
    assert np.array_equal(result(device, device_build), device_build.results[:1])
    assert device.run_clocks(50) == 50, "a line that is high already ends nothing"
    dma.write(MM2S, STATUS, IOC)
    assert device.interrupts == 2
    dma.write(S2MM, CONTROL, RUN)
    assert device.interrupts == 0 and dma.read(S2MM, STATUS) & IOC, "not enabled, but still to be seen"


def test_a_channel_stops_when_its_transfer_ends(
    dma: Dma, device: SimDevice, device_build: DeviceBuild
) -> None:
    sent, wanted = put(device, device_build), device_build.results.shape[1]
    dma.run()
    dma.start(S2MM, RECEIVE, wanted)
    dma.write(S2MM, CONTROL, 0)
    assert not dma.read(S2MM, STATUS) & HALTED
    dma.start(MM2S, 0, sent)
    device.run_clocks(CLOCKS)
    assert dma.read(S2MM, STATUS) == HALTED | IOC
    assert np.array_equal(result(device, device_build), device_build.results[:1])


@pytest.mark.parametrize("cut,error", [(8, "TLAST_INSIDE_FRAME"), (3, "PARTIAL_BEAT")])
def test_a_wrong_send_length_reaches_the_accelerator(
    dma: Dma, device: SimDevice, device_build: DeviceBuild, cut: int, error: str
) -> None:
    sent = put(device, device_build)
    dma.run()
    dma.start(MM2S, 0, sent - cut)
    device.run_clocks(CLOCKS)
    bits = {e.name: 1 << e.bit for e in ERRORS}
    assert device.read32(device.ip_base + OFFSET["ERRORS"]) == bits[error]


def test_memory_is_written_by_the_dma_alone(dma: Dma, device: SimDevice, device_build: DeviceBuild) -> None:
    """A host's copy is a copy: what comes later shows in the device's memory only, and the other way."""
    host = device_build.frames[0].copy()
    sent = put(device, device_build)
    host[:] ^= 0xFF
    before = device.memory[: RECEIVE + 4096].copy()
    dma.run()
    dma.start(S2MM, RECEIVE, 4096)
    dma.start(MM2S, 0, sent)
    device.run_clocks(CLOCKS)
    size = device_build.results.shape[1]
    assert np.array_equal(result(device, device_build), device_build.results[:1])
    changed = np.flatnonzero(device.memory[: len(before)] != before)
    assert changed.min() >= RECEIVE and changed.max() < RECEIVE + size
    assert not before[RECEIVE:].any()


# --- errors ------------------------------------------------------------------------------

FAULTS = {
    "send from outside": (MM2S, DECODE_ERROR, {"send": 1 << 20}),
    "send past the end": (MM2S, DECODE_ERROR, {"send": (1 << 20) - 40, "sent": 80, "wanted": 64}),
    "receive outside": (S2MM, DECODE_ERROR, {"receive": 1 << 20}),
    "send not on a beat": (MM2S, INT_ERROR, {"send": 4}),
    "receive not on a beat": (S2MM, INT_ERROR, {"receive": RECEIVE + 4}),
    "packet longer than the buffer": (S2MM, INT_ERROR, {"wanted": -8}),
    "buffer ends inside a beat": (S2MM, INT_ERROR, {"wanted": -3}),
    "memory refuses a read": (MM2S, SLAVE_ERROR, {"inject": "read_error"}),
    "memory refuses a write": (S2MM, SLAVE_ERROR, {"inject": "write_error"}),
    "memory refuses the next burst": (MM2S, SLAVE_ERROR, {"inject": "slave_error"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_errors_halt_their_channel(dma: Dma, device: SimDevice, device_build: DeviceBuild, name: str) -> None:
    channel, bit, how = FAULTS[name]
    other = MM2S if channel == S2MM else S2MM
    sent, wanted = put(device, device_build), device_build.results.shape[1]
    if "inject" in how:
        device.inject(**{how["inject"]: True})
    dma.run(enable=ERROR)
    dma.start(S2MM, how.get("receive", RECEIVE), wanted + how.get("wanted", 0))
    dma.start(MM2S, how.get("send", 0), how.get("sent", sent))
    device.run_clocks(CLOCKS)
    assert dma.read(channel, STATUS) == HALTED | bit | ERROR
    assert device.interrupts == (1 if channel == MM2S else 2)
    assert not dma.read(channel, CONTROL) & RUN
    assert not dma.read(other, STATUS) & (HALTED | INT_ERROR | SLAVE_ERROR | DECODE_ERROR | ERROR)

    dma.write(channel, STATUS, ERROR | IOC)
    dma.run(channel)
    dma.start(channel, RECEIVE if channel == S2MM else 0, 8)
    assert dma.read(channel, STATUS) == HALTED | bit, "only a reset brings the channel back"
    assert device.interrupts == 0

    dma.reset()
    device.write32(device.ip_base + OFFSET["CONTROL"], 1)
    device.write32(device.ip_base + OFFSET["CONTROL"], 0)
    device.memory[RECEIVE : RECEIVE + 4096] = 0xAA
    sent = put(device, device_build)
    dma.run()
    dma.start(S2MM, RECEIVE, wanted)
    dma.start(MM2S, 0, sent)
    device.run_clocks(CLOCKS)
    assert dma.read(MM2S, STATUS) == dma.read(S2MM, STATUS) == IDLE | IOC
    assert np.array_equal(result(device, device_build), device_build.results[:1])


def test_too_long_a_packet_stays_in_its_buffer(
    dma: Dma, device: SimDevice, device_build: DeviceBuild
) -> None:
    sent, room = put(device, device_build), device_build.results.shape[1] - 8
    device.memory[RECEIVE : RECEIVE + 4096] = 0xAA
    dma.run()
    dma.start(S2MM, RECEIVE, room)
    dma.start(MM2S, 0, sent)
    device.run_clocks(CLOCKS)
    assert np.array_equal(device.memory[RECEIVE : RECEIVE + room], device_build.results[0, :room])
    assert (device.memory[RECEIVE + room : RECEIVE + 4096] == 0xAA).all()


def test_a_hang_holds_the_result_until_it_is_cleared(
    dma: Dma, device: SimDevice, device_build: DeviceBuild
) -> None:
    sent = put(device, device_build)
    dma.run()
    device.inject(hang=True)
    dma.start(S2MM, RECEIVE, 4096)
    dma.start(MM2S, 0, sent)
    device.run_clocks(CLOCKS)
    assert dma.read(MM2S, STATUS) == IDLE | IOC and dma.read(S2MM, STATUS) == 0
    assert device.read32(device.ip_base + OFFSET["FRAMES_OUT"]) == 0
    device.inject()
    device.run_clocks(CLOCKS)
    assert dma.read(S2MM, STATUS) == IDLE | IOC
    assert np.array_equal(result(device, device_build), device_build.results[:1])


# --- clocks and stalls -------------------------------------------------------------------


def clocks_of_a_batch(build: DeviceBuild, **options: object) -> int:
    with build.device(memory_bytes=1 << 20, **options) as device:
        dma = Dma(device)
        sent = put(device, build, 12)
        dma.run(S2MM, enable=IOC)
        dma.run(MM2S)
        dma.start(S2MM, RECEIVE, 12 * build.results.shape[1])
        dma.start(MM2S, 0, sent)
        clocks = device.run_clocks(10 * CLOCKS)
        assert np.array_equal(result(device, build, 12), build.results)
        return clocks


def test_a_seed_gives_one_run(device_build: DeviceBuild) -> None:
    smooth = clocks_of_a_batch(device_build)
    stalled = Stalls(3, 40, 40)
    assert clocks_of_a_batch(device_build) == smooth
    first = clocks_of_a_batch(device_build, stalls=stalled)
    assert clocks_of_a_batch(device_build, stalls=stalled) == first != smooth
    assert clocks_of_a_batch(device_build, stalls=dataclasses.replace(stalled, seed=4)) != first
    assert clocks_of_a_batch(device_build, latency_clocks=130) == smooth + 200, "read and written"


@pytest.mark.parametrize("percents", [(90, 0), (0, 90)])
def test_each_side_stalls_by_itself(device_build: DeviceBuild, percents: tuple[int, int]) -> None:
    smooth = clocks_of_a_batch(device_build)
    assert clocks_of_a_batch(device_build, stalls=Stalls(5, *percents)) > smooth


def test_nothing_is_taken_while_results_are_held(device_build: DeviceBuild) -> None:
    assert clocks_of_a_batch(device_build, stalls=Stalls(5, 0, 0, hold=9000)) > 8000


# --- what it is made from ------------------------------------------------------------------


def test_memory_lies_where_the_dma_reaches(device_build: DeviceBuild) -> None:
    reached = address_map(device_build.stored).memory
    end = reached.offset + reached.size
    for options in (
        {"memory_bytes": 1000},
        {"memory_bytes": 0},
        {"memory_base": end - 4096, "memory_bytes": 8192},
        {"memory_base": 0x1000_0800},
        {"memory_bytes": reached.size + 4096},
    ):
        with pytest.raises(ValueError, match="pages|reaches"):
            device_build.device(**options)
    with device_build.device(memory_base=end - 4096, memory_bytes=4096) as device:
        assert device.memory_base == end - 4096 and device.memory.shape == (4096,)


def test_a_compiled_device_needs_no_tools(device_build: DeviceBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    program = prepare(device_build.stored, device_build.work)

    def missing() -> None:
        raise AssertionError("looked for tools")

    monkeypatch.setattr(model, "require_tools", missing)
    assert prepare(device_build.stored.folder, device_build.work) == program
    with pytest.raises(AssertionError, match="looked for tools"):
        prepare(device_build.stored, device_build.work / "elsewhere")


def test_an_edited_build_is_warned_of(device_build: DeviceBuild, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(device_build.stored.folder, copy)
    (copy / "folding.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"edited since the build: folding\.json"):
        with SimDevice(copy, work=device_build.work) as device:
            assert device.read32(device.ip_base) == IDENTITY


@pytest.mark.parametrize("missing", ["sim/device.cpp", "vivado/design.json"])
def test_an_older_build_says_so(device_build: DeviceBuild, tmp_path: Path, missing: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(device_build.stored.folder, copy)
    (copy / missing).unlink()
    with pytest.warns(UserWarning, match="edited"), pytest.raises(XnorhwError, match="before there was"):
        SimDevice(copy, work=device_build.work)
