"""`pytest rtl_tests --build FOLDER`: the bench on a build folder, and nothing else.

The networks of a module share one compiled model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rtl_tests.networks.network_checks import Network
    from xnorhw.sim.multi import MultiModel

BENCH = Path(__file__).resolve().parent / "test_build.py"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without a build folder there is nothing to collect from its test."""
    if collection_path == BENCH and config.getoption("--build") is None:
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With a build folder its test is all that was asked for."""
    if config.getoption("--build") is None:
        return
    wanted = [item for item in items if item.path == BENCH]
    config.hook.pytest_deselected(items=[item for item in items if item.path != BENCH])
    items[:] = wanted


@pytest.fixture(scope="module")
def model(networks: list[Network]) -> MultiModel:
    # a bench on a build folder needs neither
    from rtl_tests.runner import require_simulator
    from xnorhw.sim.multi import multi_model

    require_simulator()
    return multi_model([(n.plan, n.graph) for n in networks])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model is compiled, once."""
    return tmp_path_factory.mktemp("model")
