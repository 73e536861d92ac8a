"""The figures of the C driver's own cost."""

from __future__ import annotations

import pytest

from benchmarks.driver import overheads
from tests.host.simulated_board import NATIVE, Board


def test_bus_operations_and_copies(board: Board) -> None:
    NATIVE.require()
    rows = {(row.transport, row.batch): row for row in overheads(board.device, 12, 4)}
    assert set(rows) == {("uio", 1), ("uio", 4), ("mem", 1), ("mem", 4)}
    for (transport, batch), row in rows.items():
        # two channels: the status cleared, the address, the length; the received bytes and the errors read
        assert row.register_writes == pytest.approx(6 / batch)
        assert row.register_reads == pytest.approx(2 / batch)
        assert row.polls * batch >= 2
        # the frames and the room for results handed over, the results taken back
        assert row.cache_operations == pytest.approx(3 / batch if transport == "uio" else 0)
        # an input byte is copied once, a frame's padding not; uncached results are taken out in words
        copied = row.copied - (row.result_bytes if transport == "mem" else 0)
        assert row.input_bytes - 8 < copied <= row.input_bytes
