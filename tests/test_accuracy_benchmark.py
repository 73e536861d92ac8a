"""Every scheme of benchmarks/accuracy is a network that can be trained, built, and is equal to golden."""

from __future__ import annotations

import pytest
import torch

from benchmarks import accuracy
from benchmarks.accuracy import Outcome

pytest.importorskip("sklearn")


def test_the_schemes_of_the_papers_are_there() -> None:
    names = [scheme.name for scheme in accuracy.schemes()]
    assert len(set(names)) == len(names) == 15
    for scheme in accuracy.schemes():
        net = accuracy.network(scheme)
        scores = net.train()(torch.randint(0, 256, (4, 1, 8, 8)).float())
        assert scores.shape == (4, 10)
        scores.square().mean().backward()
        assert all(p.grad is not None for p in net.parameters()), scheme.name


# a scheme of each kind: signs, codes and bases; the rest takes minutes
@pytest.mark.parametrize("name", ["XNOR with K", "ABC (3, 3)", "DoReFa (2, 2)"])
def test_a_trained_scheme_is_snapped_and_proven(name: str) -> None:
    number = [scheme.name for scheme in accuracy.schemes()].index(name)
    threads = torch.get_num_threads()
    outcome = accuracy.measured(number, seed=0, epochs=1)
    torch.set_num_threads(threads)
    assert outcome.differing == 0
    assert outcome.trained > 0.2 and outcome.snapped is not None
    assert abs(outcome.snapped - outcome.trained) < 0.1


def test_the_table_gives_mean_and_spread() -> None:
    outcomes = [Outcome("float", s, a, None, None) for s, a in enumerate((0.9, 1.0))]
    outcomes += [Outcome("BWN", 0, 0.5, 0.25, 3)]
    lines = accuracy.table(outcomes).splitlines()
    assert lines[2:] == ["| float | 95.00 ± 7.07 |  |  |", "| BWN | 50.00 ± 0.00 | 25.00 ± 0.00 | 3 differ |"]
