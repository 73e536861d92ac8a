"""The layers of the host: by the CPU engine or in NumPy, the same numbers, and who says which."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_bench import WORK, Bench
from hand_networks import NETWORKS
from test_predict import frames

Benches = Callable[[str], Bench]

# by the engine in front and behind, where it is left to the driver
CHOSEN = {
    "table": (False, False),
    "bits": (False, False),
    "codes": (False, False),
    "ends": (False, False),
    "flags": (False, False),
    "full": (True, True),
    "wide": (True, False),
}
FRONT = {
    "table": True,
    "bits": False,
    "codes": False,
    "ends": True,
    "flags": False,
    "full": True,
    "wide": True,
}
"""Whether there is a layer in front at all."""

NUMPY_ONLY = {"flags", "wide"}
"""Whose scores are the sums themselves."""


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_golden_either_way(name: str, bench: Benches) -> None:
    one = bench(name)
    x, sums, scores = frames(one, 11, seed=5)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else None
    for host in ("engine", "numpy"):
        with one.open(max_batch=4, host=host) as accelerator:
            kinds = (accelerator.host.front, accelerator.host.back)
            in_c = host == "engine" and name != "wide"  # whose elements are of 12 bits
            assert accelerator.host.packing.startswith("C, path " if in_c else "NumPy")
            wanted = "CPU engine, path " if host == "engine" else "NumPy"
            assert kinds[0].startswith(wanted if FRONT[name] else "nothing")
            assert kinds[1].startswith(wanted if name not in NUMPY_ONLY else "nothing")
            for count in (1, 4, 11):
                assert np.array_equal(accelerator.predict_sums(x[:count]), sums[:count])
                found = accelerator.predict_scores(x[:count])
                assert np.array_equal(found.view(np.uint32), scores[:count].view(np.uint32))
            again = accelerator.scores_of(sums.astype(np.int32))
            assert np.array_equal(again.view(np.uint32), scores.view(np.uint32))
            if last is not None:
                assert np.array_equal(accelerator.predict_sums(last, layout="HWC"), sums)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_choice(name: str, bench: Benches) -> None:
    """The engine where there are products, thresholds or pools; a table and a scale need none."""
    with bench(name).open() as accelerator:
        kinds = (accelerator.host.front, accelerator.host.back)
        assert tuple(kind.startswith("CPU engine") for kind in kinds) == CHOSEN[name]
        assert accelerator.host.note == ""
        packing = accelerator.host.packing
        assert packing == "NumPy" if name == "wide" else packing.startswith("C, path ")
        assert name != "table" or kinds[0] == packing
        assert str(accelerator.host) == f"front: {kinds[0]}; back: {kinds[1]}; packing: {packing}"


def test_the_path_is_said(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XH_PATH", "plain")
    with bench("full").open() as accelerator:
        assert str(accelerator.host) == (
            "front: CPU engine, path plain; back: CPU engine, path plain; packing: C, path plain"
        )
        assert accelerator.self_test().passed


def test_the_engine_is_called(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call a part, in front and behind; in NumPy none."""
    one = bench("full")
    x, _, _ = frames(one, 6, seed=1)
    for host, expected in (("engine", ["batch_front", "batch_back"] * 2), ("numpy", [])):
        with one.open(max_batch=3, host=host) as accelerator:
            calls: list[str] = []
            kind = one.package.engine.CpuEngine
            real = kind._around
            with monkeypatch.context() as patched:
                patched.setattr(
                    kind, "_around", lambda e, n, *a, r=real, c=calls: (c.append(n), r(e, n, *a))[1]
                )
                accelerator.predict_scores(x)
            assert sorted(calls) == sorted(expected)


def test_without_a_compiler(
    bench: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """NumPy instead, and why; whoever wants the engine by name gets the error."""
    one = bench("full")
    monkeypatch.setenv("PATH", str(tmp_path))
    with caplog.at_level(logging.WARNING), one.open() as accelerator:
        assert str(accelerator.host) == (
            "front: NumPy; back: NumPy; packing: NumPy (there is no C compiler on this machine)"
        )
        assert accelerator.self_test().passed
    assert "the layers of the host run in NumPy: CPU engine: there is no C compiler" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING), bench("codes").open() as accelerator:
        assert str(accelerator.host) == (
            "front: nothing; back: NumPy; packing: NumPy (there is no C compiler on this machine)"
        )
    assert caplog.messages == [
        "frames are packed by NumPy: CPU engine: there is no C compiler on this machine. Install one "
        "(sudo apt-get install gcc); the accelerator itself needs none."
    ]
    with pytest.raises(one.package.EngineError, match="no C compiler on this machine. Install one"):
        one.open(host="engine")
    with one.open(host="numpy") as accelerator:  # and the lock is free again
        assert accelerator.host.note == ""


@pytest.mark.parametrize("name", ["codes", "bits", "table"])
def test_c_packs(name: str, bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part, and takes its sums out; in NumPy none."""
    one = bench(name)
    x, sums, _ = frames(one, 6, seed=1)
    for host, expected in (("auto", ["pack", "sums"] * 2), ("numpy", [])):
        with one.open(max_batch=3, host=host) as accelerator:
            calls: list[str] = []
            kind = one.package.layout.Layout
            with monkeypatch.context() as patched:
                for method in ("pack", "sums"):
                    real = getattr(kind, method)
                    patched.setattr(
                        kind, method, lambda *a, m=method, r=real, c=calls: (c.append(m), r(*a))[1]
                    )
                assert np.array_equal(accelerator.predict_sums(x), sums)
            assert sorted(calls) == sorted(expected)


def test_no_place_for_the_library(bench: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the simulator's compiler may keep a cache there as well
    one = bench("full")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(one.package.EngineError, match="cannot be compiled there .*XDG_CACHE_HOME"):
        one.open(host="engine")
    with one.open() as accelerator:
        assert accelerator.host.front == "NumPy" and "cannot be compiled there" in accelerator.host.note


def test_a_notice_before_compiling(
    bench: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits knows for what; once compiled there is nothing to say."""
    one = bench("full")
    engine = one.package.engine
    with one.open():
        pass
    ready, _, _ = engine._recipe(engine.SOURCES, None, WORK / "xnorhw")
    (tmp_path / "xnorhw").mkdir()
    with caplog.at_level(logging.WARNING):
        # what compiles is another test's business
        monkeypatch.setattr(
            engine, "_compile", lambda command: shutil.copy(ready, command[command.index("-o") + 1])
        )
        monkeypatch.setattr(engine, "_seal", lambda path: None)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        for _ in range(2):
            with one.open() as accelerator:
                assert accelerator.self_test().passed
    assert caplog.messages == ["compiling the layers of the host, once for this build: minutes on a board"]


@pytest.mark.parametrize("host", ["engine", "numpy"])
def test_a_sum_out_of_range(host: str, bench: Benches) -> None:
    one = bench("full")
    with one.open(host=host) as accelerator:
        sums = accelerator.samples.sums.copy()
        sums[1, 2, 0, 0] = 1000
        with pytest.raises(one.package.TransferError, match="gave a sum outside of -64 to 63"):
            accelerator.scores_of(sums)


def test_closed(bench: Benches) -> None:
    """The engine's memory goes with the accelerator."""
    one = bench("full")
    with one.open(host="engine") as accelerator:
        sums = accelerator.samples.sums
        engine = accelerator._host._engine
    with pytest.raises(one.package.AcceleratorError, match="it was closed"):
        accelerator.scores_of(sums)
    with pytest.raises(one.package.EngineError, match="it was closed"):
        _ = engine.path


def test_a_header_of_another_build(bench: Benches, mutant: Callable[..., Any]) -> None:
    """Frames of another size would be written past the buffer."""
    one = bench("full")
    known = one.package.description.load_description()
    for name, size in (("FRAME_BYTES", known.input.bytes), ("RESULT_BYTES", known.output.bytes)):
        package = mutant(
            one.folder, "cpu/accel_engine.h", f"ACCEL_{name} {size}\n", f"ACCEL_{name} {size + 8}\n"
        )
        with pytest.raises(package.EngineError, match=f"has {size + 8} {name}, .* accelerator {size}"):
            package.Accelerator.open(device=one.device, host="engine")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("room[pixel * CHANNELS + c] =", "room[c * PIXELS + pixel] ="),
        ("packed + i * ACCEL_FRAME_BYTES", "packed"),
        ("words + i * stride", "words + i * ACCEL_SUMS"),
    ],
)
def test_planted_faults_are_noticed(old: str, new: str, bench: Benches, mutant: Callable[..., Any]) -> None:
    one = bench("full")
    package = mutant(one.folder, "cpu/accel_batch.c", old, new)
    x, _, scores = frames(one, 5, seed=3)
    with package.Accelerator.open(device=one.device, host="engine") as accelerator:
        assert not np.array_equal(accelerator.predict_scores(x), scores)
