"""Hundreds of random networks: torch = golden on every tensor, and what they covered."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import HealthCheck, Phase, assume, given, settings

from tests.random_networks.build import build
from tests.random_networks.chain import check_network
from tests.random_networks.coverage import EVERYWHERE, PYTHON_ONLY, Coverage, table
from tests.random_networks.draw import SeededChoices, draw_spec, specs
from tests.random_networks.spec import NetworkSpec

DRAWN = 150
"""Networks whose structure hypothesis draws: it finds corners and shrinks what fails."""
SEEDED = 250
"""Networks whose structure is drawn evenly, the same with every version of hypothesis."""
LEAST_NETWORKS = 300
LEAST_NEGATIVE = 0.30


def test_torch_equals_golden_on_every_tensor(record_property: Callable[[str, object], None]) -> None:
    coverage = Coverage()

    @settings(
        max_examples=DRAWN,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(specs())
    def campaign(spec: NetworkSpec) -> None:
        network = build(spec)
        assume(network is not None)
        assert network is not None
        coverage.add(check_network(network))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are small: threads would only wait for each other
    try:
        campaign()
        for seed in range(SEEDED):
            seeded = build(draw_spec(SeededChoices(seed)))
            if seeded is not None:
                coverage.add(check_network(seeded))
    finally:
        torch.set_num_threads(threads)
    text = table(coverage, [*EVERYWHERE, *PYTHON_ONLY], "torch = golden")
    record_property("coverage", text)
    assert coverage.networks >= LEAST_NETWORKS
    assert coverage.negative_share >= LEAST_NEGATIVE
    assert not coverage.missing([*EVERYWHERE, *PYTHON_ONLY])
