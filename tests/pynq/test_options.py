"""Arguments of a wrong kind: what, why and what to do, and never Python's own TypeError."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_bench import Bench
from test_errors import works

Benches = Callable[[str], Bench]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch": 2.5}, "max_batch: 2.5 is no whole number. Pass an int"),
        ({"max_batch": "all"}, "max_batch: 'all' is no whole number"),
        ({"timeout": "1 s"}, "timeout: '1 s' is no time limit. Pass seconds"),
        ({"timeout": 0}, "timeout: 0 is no time limit"),
        ({"timeout": float("nan")}, "timeout: nan is no time limit"),
        ({"timeout": float("inf")}, "timeout: inf is no time limit"),
        ({"host": "fpga"}, "host: there is no host 'fpga'. Take one of auto, engine, numpy"),
        ({"host": None}, "host: there is no host None"),
        ({"bitfile": 7}, "bitfile: 7 is no path"),
    ],
)
def test_options_of_a_wrong_kind(options: dict[str, Any], message: str, bench: Benches) -> None:
    one = bench("table")
    with pytest.raises(one.package.AcceleratorError, match=message):
        one.open(**options)
    with one.open() as accelerator:  # and the lock is free again
        assert works(accelerator)


def test_options_of_a_kind_like_it(bench: Benches) -> None:
    one = bench("table")
    bitfile = Path(one.device.bitfile)
    with one.open(max_batch=np.int64(3), timeout=np.float32(2), bitfile=bitfile) as accelerator:
        assert accelerator.max_batch == 3
        assert works(accelerator)


def test_a_device_of_a_wrong_kind(bench: Benches) -> None:
    package = bench("table").package
    with pytest.raises(package.DeviceMissingError, match="device: 'Pynq-Z2' is no pynq.Device. Leave it out"):
        package.load(device="Pynq-Z2")


@pytest.mark.parametrize("frames", [2.5, "all", None, np.float64(3)])
def test_a_part_of_a_frame(frames: object, bench: Benches) -> None:
    one = bench("table")
    with one.open() as accelerator:
        with pytest.raises(one.package.AcceleratorError, match="frames: .* is no whole number. Pass an int"):
            accelerator.throughput_test(frames)
        assert accelerator.throughput_test(np.int32(3)).frames == 3


def test_sums_of_something_else(bench: Benches) -> None:
    one = bench("table")
    with one.open() as accelerator:
        sums = accelerator.samples.sums
        for wrong in (sums.tolist(), sums[0], sums.astype(np.float32), sums.astype(np.int64), sums[:, 1:]):
            with pytest.raises(one.package.BatchError, match=r"no sums of this network, .* \[N, 5, 1, 1\]"):
                accelerator.scores_of(wrong)
        assert accelerator.scores_of(sums[:0]).shape == (0, 5)
        assert np.array_equal(accelerator.scores_of(sums), accelerator.samples.scores)
