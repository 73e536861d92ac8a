"""The INITs of adders that hold weights, against what they count and against their inverse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xnorhw.pack import luts
from xnorhw.plan.compressor import count_netlist
from xnorhw.plan.count_proof import prove
from xnorhw.plan.lut_netlist import Kind, Lut, Netlist

CASES = [(words, lanes) for words in range(1, 5) for lanes in (1, 2, 3, 7, 27, 64)]


def drawn(words: int, lanes: int) -> tuple[Netlist, tuple[Lut, ...], np.ndarray]:
    """A netlist whose weights are all 1, those of its LUTs that hold them, and others, [words, lanes]."""
    netlist = count_netlist(lanes, leaf=((1,) * lanes,) * words)
    leaves = tuple(lut for lut in netlist.luts if any(pin.kind is Kind.ACTIVATION for pin in lut.pins))
    weights = np.random.default_rng(words * 100 + lanes).integers(0, 2, (words, lanes)).astype(np.uint8)
    return netlist, leaves, weights


def filled(netlist: Netlist, leaves: tuple[Lut, ...], weights: np.ndarray) -> Netlist:
    tables = tuple(
        replace(lut, table=luts.leaf_init(lut, weights)) if lut in leaves else lut for lut in netlist.luts
    )
    return replace(netlist, luts=tables)


@pytest.mark.parametrize(("words", "lanes"), CASES)
def test_the_netlist_counts_with_these_weights(words: int, lanes: int) -> None:
    """The proof reads the weights back from all tables, and has not heard of packing."""
    netlist, leaves, weights = drawn(words, lanes)
    proved = prove(filled(netlist, leaves, weights))
    assert np.array_equal(np.array(proved[:words]), weights)
    # what no counter reaches reads the last word
    assert all(row == proved[words - 1] for row in proved[words:])


@pytest.mark.parametrize(("words", "lanes"), CASES)
def test_the_weights_are_read_back(words: int, lanes: int) -> None:
    _, leaves, weights = drawn(words, lanes)
    for lut in leaves:
        own = [pin.index for pin in lut.pins if pin.kind is Kind.ACTIVATION]
        found = luts.leaf_weights(lut, luts.leaf_init(lut, weights), words)
        assert found is not None and np.array_equal(found, weights[:, own])


@pytest.mark.parametrize("words", range(1, 5))
def test_no_single_bit_of_an_init_goes_unseen(words: int) -> None:
    _, leaves, weights = drawn(words, 64)
    for lut in leaves[:6]:
        init = luts.leaf_init(lut, weights)
        # a full adder's table has no second table of weights within one bit of it
        assert all(luts.leaf_weights(lut, init ^ 1 << bit, words) is None for bit in range(64))
