"""Everything that can go wrong ends in its error, and the device works afterwards."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pynq
import pytest
from hand_bench import WORK, Bench, load_package

from xnorhw.sim.device import prepare
from xnorhw.sim.pynq_device import open_device

Benches = Callable[[str], Bench]


def works(accelerator: Any) -> bool:
    samples = accelerator.samples
    return bool(np.array_equal(accelerator.predict_sums(samples.inputs), samples.sums))


# ---- frames


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.tolist(), "the batch is a list.*NumPy array"),
        (lambda x: x.astype(np.float32), "holds float32, the network takes uint8"),
        (lambda x: x.astype(np.int8), "holds int8, the network takes uint8"),
        (lambda x: x[0], r"shape \(1, 6, 6\).*x\[None\]"),
        (lambda x: x[:, 0], r"shape \(2, 6, 6\), the network takes \(N, 1, 6, 6\)"),
        (lambda x: x[:, :, :5].copy(), "the network takes"),
        (lambda x: x[:0], "the batch is empty"),
        (lambda x: x[::2], "not contiguous.*ascontiguousarray"),
        (lambda x: x.transpose(0, 1, 3, 2), "not contiguous"),
    ],
)
def test_bad_frames(change: Callable[[np.ndarray], object], message: str, bench: Benches) -> None:
    one = bench("table")
    with one.open() as accelerator:
        x = accelerator.samples.inputs[:4]
        given = change(x if "holds" in message or "contiguous" in message else x[:2])
        with pytest.raises(one.package.BatchError, match=message):
            accelerator.predict(given)
        assert accelerator.counters().frames_in == 0
        assert works(accelerator)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("codes", 8, "holds 8, the network takes -8 to 7"),
        ("codes", -9, "holds -9, the network takes -8 to 7"),
        ("bits", 0, r"holds 0, the network takes -1 and \+1"),
        ("wide", 2048, "holds 2048, the network takes -2048 to 2047"),
    ],
)
def test_out_of_range(name: str, value: int, message: str, bench: Benches) -> None:
    one = bench(name)
    with one.open() as accelerator:
        x = accelerator.samples.inputs[:2].copy()
        x.reshape(-1)[-1] = value
        with pytest.raises(one.package.BatchError, match=message):
            accelerator.predict(x)
        with pytest.raises(one.package.BatchError, match="no layout 'NHWC'"):
            accelerator.predict(x, layout="NHWC")


# ---- bitstreams


def test_bitstream_of_another_build(bench: Benches, build: Callable[..., Path]) -> None:
    """The same network with other weights: same IP, same sizes, another hash."""
    one = bench("table")
    other = load_package(build("table", seed=2) / "pynq")
    with pytest.raises(other.BitstreamError, match="BUILD_HASH.*is of build [0-9a-f]{16}.*make -C out/pynq"):
        other.Accelerator.open(device=one.device)
    with one.open() as accelerator:  # and the lock is free again
        assert works(accelerator)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"identity": 1481527122', '"identity": 1481527123', "ID: the identity register reads 0x584e4f52"),
        ('"abi_major": 1', '"abi_major": 2', "register interface 1.0, this driver needs 2.0"),
        ('"abi_minor": 0', '"abi_minor": 1', "register interface 1.0, this driver needs 1.1"),
        ('"beats": 5', '"beats": 6', "IN_BEATS: a frame has 5 beats in the bitstream and 6"),
        ('"beats": 3', '"beats": 4', "OUT_BEATS: a frame has 3 beats in the bitstream and 4"),
        ("xnorhw:xnorhw:accel:1.0", "xnorhw:xnorhw:other:1.0", "the design has no such IP"),
        ('"beat_bytes": 8', '"beat_bytes": 16', "data_width is 64, .* 128 bits wide"),
    ],
)
def test_bitstream_that_does_not_fit(
    old: str, new: str, message: str, bench: Benches, mutant: Callable[..., Any]
) -> None:
    one = bench("table")
    package = mutant(one.folder, "description.json", old, new)
    with pytest.raises(package.BitstreamError, match=message):
        package.Accelerator.open(device=one.device)


def test_a_dma_set_up_otherwise(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench("table")
    with one.open() as accelerator:
        engine = accelerator._engine
        for channel, name in (("sendchannel", "send"), ("recvchannel", "receive")):
            with monkeypatch.context() as patched:
                patched.setattr(engine.dma, channel, None)
                with pytest.raises(one.package.BitstreamError, match=f"has no {name} channel.*design.tcl"):
                    engine.check_dma()
        with monkeypatch.context() as patched:
            patched.setattr(engine, "_status", lambda offset: 0x8)
            with pytest.raises(one.package.BitstreamError, match="scatter-gather on"):
                engine.check_dma()
        with monkeypatch.context() as patched:
            patched.setattr(engine.dma, "buffer_max_size", 39)
            with pytest.raises(one.package.AcceleratorError, match="40 bytes, .* longest transfer is 39"):
                accelerator._batch(None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "xilinx.com:ip:axi_dma:7.1",
            "xilinx.com:ip:axi_cdma:4.1",
            "accel there are 0 DMAs where one",
        ),
        ("xnorhw:xnorhw:accel:1.0", "other:user:ip:1.0", "the design has no such IP"),
        ('FULLNAME="/dma"', 'FULLNAME="/elsewhere/dma"', "there are 0 DMAs.*in one hierarchy"),
    ],
)
def test_a_design_without_the_pair(old: str, new: str, message: str, bench: Benches, tmp_path: Path) -> None:
    one = bench("table")
    text = Path(one.device.bitfile).with_suffix(".hwh").read_text()
    assert text.count(old) == 1
    (tmp_path / "user.hwh").write_text(text.replace(old, new))
    (tmp_path / "user.bit").write_bytes(b"")
    with pytest.raises(one.package.BitstreamError, match=message):
        one.open(bitfile=str(tmp_path / "user.bit"))
    with one.open() as accelerator:
        assert works(accelerator)


def test_no_bitstream(bench: Benches, tmp_path: Path) -> None:
    package = bench("table").package
    bare = SimpleNamespace(tag="bare", name="bare")
    with pytest.raises(package.BitstreamError, match=r"accel\.bit: .*without its bitstream.*make -C"):
        package.Accelerator.open(device=bare)
    with pytest.raises(package.BitstreamError, match="does not exist"):
        bench("table").open(bitfile=str(tmp_path / "accel.bit"))


# ---- devices


def test_no_device(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench("table")
    monkeypatch.setattr(pynq.Device, "_devices", [], raising=False)
    with pytest.raises(one.package.DeviceMissingError, match="finds no device.*on the board"):
        one.package.load()


@pytest.mark.parametrize("error", [OSError("Root permissions required."), PermissionError(13, "denied")])
def test_no_permission(error: OSError, bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pynq's own device does for a user that is not root."""
    one = bench("table")

    def refuse(*_: object) -> bytes:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(one.device, "read_registers", refuse)
        with pytest.raises(one.package.PermissionDeniedError, match="[Rr]oot"):
            one.open()
    with one.open() as accelerator:
        assert works(accelerator)


def test_two_processes(bench: Benches) -> None:
    one = bench("table")
    code = (
        "import sys, types, warnings; warnings.simplefilter('ignore')\n"
        "from xnorhw_accel.opening import DeviceBusyError, Lock\n"
        "device = types.SimpleNamespace(tag='a board', lock_folder=sys.argv[1])\n"
        "try: Lock(int(sys.argv[2]), device)\n"
        "except DeviceBusyError as error: print(error)\n"
    )
    with one.open() as accelerator:
        environment = {**os.environ, "PYTHONPATH": str(one.folder / "pynq")}
        done = subprocess.run(
            [sys.executable, "-c", code, one.device.lock_folder, str(one.device.sim.dma_base)],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert f"in use by process {os.getpid()}" in done.stdout, done.stdout + done.stderr
        with pytest.raises(one.package.DeviceBusyError, match="this process, by another Accelerator"):
            one.open()
        assert works(accelerator)
    with one.open() as accelerator:
        assert works(accelerator)
    assert not accelerator._end.alive


def test_dropped_without_close(bench: Benches) -> None:
    """A cell that fails leaves no object behind that keeps the device."""
    one = bench("table")
    assert works(one.open())
    gc.collect()
    assert works(one.open())
    started = one.open()
    started._engine.start(
        started._inputs[0][:1], started._results[0][:1]
    )  # its transfer is stopped before its buffers are freed
    del started
    gc.collect()
    with one.open() as accelerator:
        assert works(accelerator)


def test_a_device_that_nobody_closes_leaves_no_file(bench: Benches) -> None:
    code = (
        "import pathlib, sys\n"
        "from xnorhw.sim.pynq_device import open_device\n"
        "device = open_device(sys.argv[1], work=pathlib.Path(sys.argv[2]))\n"
        "print(device.sim.folder, device.bitfile, sep=chr(10), flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(bench("table").folder), str(WORK)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        folder, bitfile = (Path(process.stdout.readline().strip()) for _ in range(2))
        assert bitfile.parent == folder and bitfile.is_file()
        process.kill()
    end = time.monotonic() + 30
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not folder.exists()


def test_closed(bench: Benches) -> None:
    one = bench("table")
    accelerator = one.open()
    x = accelerator.samples.inputs
    accelerator.close()
    accelerator.close()
    for use in (accelerator.self_test, accelerator.counters, lambda: accelerator.predict(x)):
        with pytest.raises(one.package.AcceleratorError, match="it was closed"):
            use()


def test_buffers_exhausted(bench: Benches) -> None:
    one = bench("table")
    prepare(one.folder, WORK)
    with open_device(one.folder, work=WORK, memory_bytes=4 * 4096) as device:
        opened = one.package.Accelerator.open
        with pytest.raises(one.package.BufferExhaustedError, match="no contiguous memory.*smaller max_batch"):
            opened(device=device, max_batch=200)
        with opened(device=device, max_batch=100) as accelerator:  # what was taken has come back
            assert works(accelerator)


def test_batch_beyond_the_dma(bench: Benches) -> None:
    one = bench("table")
    longest = (1 << 26) - 1
    with pytest.raises(one.package.AcceleratorError, match=f"takes 1 to {longest // 40}"):
        one.open(max_batch=longest // 40 + 1)
    with pytest.raises(one.package.AcceleratorError, match="0 frames do not fit"):
        one.open(max_batch=0)


def test_clock_above_the_plan(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench("table")
    with one.open():
        pass
    with monkeypatch.context() as patched:
        patched.setattr(one.package.driver, "clock_mhz", lambda: 125.0)
        with pytest.warns(RuntimeWarning, match="125 MHz, the design was made for 100"):
            one.open().close()


def test_the_board_names_itself(bench: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = bench("table").package.opening
    device = SimpleNamespace(name="edge")
    monkeypatch.setattr(opening, "BOARD_FILE", tmp_path / "pynq_board")
    assert opening.board_name(device) == "edge"
    (tmp_path / "pynq_board").write_bytes(b"Pynq-Z2\0")
    assert opening.board_name(device) == "Pynq-Z2"


# ---- transfers


def test_hang(bench: Benches) -> None:
    """A transfer that never ends: an error with the state in words, then a right answer."""
    one = bench("table")
    with one.open(timeout=0.05) as accelerator:
        one.device.sim.inject(hang=True)
        with pytest.raises(one.package.TransferTimeoutError) as caught:
            accelerator.predict(accelerator.samples.inputs)
        text = str(caught.value)
        assert "no result came within 0.05 s" in text
        assert "receive channel: transferring" in text and "0 given" in text
        one.device.sim.inject()
        assert accelerator.counters().errors == ()
        assert works(accelerator)


def test_self_test_meets_a_hang(bench: Benches) -> None:
    one = bench("table")
    with one.open(timeout=0.05) as accelerator:
        one.device.sim.inject(hang=True)
        with pytest.raises(one.package.SelfTestError, match="frames run singly: no result came"):
            accelerator.self_test()
        one.device.sim.inject()
        assert accelerator.self_test().passed


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("read_error", "send channel: slave error: the memory refused an access, halted"),
        ("write_error", "receive channel: slave error: the memory refused an access, halted"),
    ],
)
def test_dma_error(fault: str, words: str, bench: Benches) -> None:
    one = bench("table")
    with one.open() as accelerator:
        one.device.sim.inject(**{fault: True})
        with pytest.raises(one.package.TransferError, match=words):
            accelerator.predict(accelerator.samples.inputs)
        one.device.sim.inject()
        assert works(accelerator)


def test_interrupted(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook's stop button in the middle of a transfer."""
    one = bench("table")
    with one.open(max_batch=4) as accelerator:

        def stop() -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(accelerator._engine, "wait", stop)
            with pytest.raises(KeyboardInterrupt):
                accelerator.predict(accelerator.samples.inputs)
        assert not accelerator._engine.in_flight
        assert works(accelerator)


def test_frame_cut_short(bench: Benches) -> None:
    """tlast inside a frame: the accelerator's own error register speaks, and is clear after."""
    one = bench("table")
    with one.open(timeout=0.05) as accelerator:
        engine = accelerator._engine
        engine.start(accelerator._inputs[0][:1, :8], accelerator._results[0][:1])
        with pytest.raises(one.package.TransferError, match="input tlast on a beat that does not end"):
            engine.wait()
        assert works(accelerator)


def test_alignment_and_length_are_checked(bench: Benches) -> None:
    one = bench("table")
    with one.open() as accelerator:
        engine, inputs, results = accelerator._engine, accelerator._inputs[0], accelerator._results[0]
        with pytest.raises(one.package.TransferError, match="does not begin on a beat of 8 bytes"):
            engine.start(inputs.reshape(-1)[4:44], results[:1])
        with pytest.raises(one.package.TransferError, match="has 0 bytes, the DMA takes 1 to"):
            engine.start(inputs[:0], results[:1])
        assert works(accelerator)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0x0000, "transferring"),
        (0x1002, "idle"),
        (0x0001, "halted"),
        (0x0011, "internal error: .*, halted"),
        (0x0041, "decode error: .*, halted"),
    ],
)
def test_status_in_words(status: int, words: str, bench: Benches) -> None:
    assert re.fullmatch(words, bench("table").package.transfer.dma_status_in_words(status))


def test_a_dma_that_stays_in_reset(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench("table")
    with one.open() as accelerator:
        with monkeypatch.context() as patched:
            patched.setattr(one.package.transfer, "RESET_SECONDS", 0.01)
            real = accelerator._engine.dma.mmio.read
            patched.setattr(
                accelerator._engine.dma.mmio, "read", lambda a, *r: 4 if a in (0, 0x30) else real(a, *r)
            )
            with pytest.raises(one.package.TransferError, match="does not come out of reset.*bitstream anew"):
                accelerator.abort_a_transfer(accelerator.samples.inputs)
        accelerator._engine.recover()
        assert works(accelerator)


# ---- faults planted in the driver


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        # results that the processor never sees: no invalidate
        ("transfer.py", "        self.dma.recvchannel.wait()\n", ""),
        # frames that lie a beat too close
        ("frames.py", "out[:, : self._elements].reshape(", "out.reshape(-1)[: len(x) * 36].reshape("),
        # columns for rows
        ("frames.py", "x, layout = x.reshape(-1, *_hwc(frame.chw)), \"HWC\"",
         "x, layout = x.transpose(0, 3, 2, 1), \"HWC\""),
        # and frames in C that lie a beat too close
        ("layout.py", "            self._input.bytes,\n", "            self._input.bytes - 8,\n"),
        # the wrong of the two buffers is read
        ("driver.py", "self._unpack(1 - side, places[i - 1], take)",
         "self._unpack(side, places[i - 1], take)"),
        # the DMA is not reset after an abort
        ("transfer.py", "        reset_dma(self.dma.mmio)\n", ""),
        # the accelerator is not
        ("transfer.py", "self.write(registers.CONTROL, 1)\n", "pass\n"),
        # big-endian results
        ("frames.py", '"<i4"', '">i4"'),
    ],
)  # fmt: skip
def test_planted_faults_are_noticed(
    file: str, old: str, new: str, bench: Benches, mutant: Callable[..., Any]
) -> None:
    one = bench("table")
    package = mutant(one.folder, file, old, new)
    package.transfer.RESET_SECONDS = 0.1
    host = "numpy" if file == "frames.py" else "auto"  # where that file packs
    with pytest.raises(package.AcceleratorError):
        with package.Accelerator.open(device=one.device, timeout=0.1, max_batch=6, host=host) as accelerator:
            accelerator.self_test()
    with one.open() as accelerator:
        assert works(accelerator)


def test_a_forgotten_flush_is_noticed(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and device memory are two: without the flush the chip computes on what it finds there."""
    one = bench("table")
    with one.open() as accelerator:
        monkeypatch.setattr(one.device, "flush", lambda *_: None)
        with pytest.raises(
            one.package.SelfTestError, match=r"frame \d+, class \d+: expected -?\d+, found -?\d+"
        ):
            accelerator.self_test()
