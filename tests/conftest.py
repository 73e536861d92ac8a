"""A small network with everything that a build goes through, saved once; the two environments."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WITH_PYNQ = importlib.util.find_spec("pynq") is not None
# pynq and torch live in an environment each; what drives a board is tested in the other one
collect_ignore = [] if WITH_PYNQ else ["pynq", "notebook"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--builder",
        metavar="PYTHON",
        default=str(Path(__file__).parent.parent / ".venv/bin/python"),
        help="the interpreter of the environment with torch, which makes builds for the one with pynq",
    )


def pytest_report_header(config: pytest.Config) -> str:
    if WITH_PYNQ:
        return f"with pynq; builds are made by {config.getoption('--builder')}"
    return "without pynq: tests/pynq and tests/notebook are left out, `make test-pynq` runs them"


@pytest.fixture(scope="session")
def builder(request: pytest.FixtureRequest) -> Path:
    """The interpreter that has xnorhw's own requirements, torch among them."""
    if not WITH_PYNQ:
        return Path(sys.executable)
    path = Path(request.config.getoption("--builder"))
    if not path.exists():
        pytest.fail(f"no interpreter with torch at {path}: say --builder PYTHON, or `make test-pynq`")
    return path


@pytest.fixture
def xn(capsys: pytest.CaptureFixture[str]) -> Any:
    """The command line as a function: ``xn("build", model, ...)``."""
    from tests.command_line import called

    return lambda *arguments: called(capsys, *arguments)


def small_net() -> Any:
    """8-bit pixels, a padded convolution, a pool before the batch norm, a linear layer; in eval."""
    import torch
    from torch import nn

    from xnorhw import nn as xnn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        quant = xnn.InputQuant(mean=0.5, std=0.5)
        net = nn.Sequential(
            quant,
            xnn.BinaryConv2d(1, 6, 3, padding=1, scale="channel", in_scale=quant.scale),
            nn.BatchNorm2d(6),
            xnn.Sign(),
            xnn.BinaryConv2d(6, 8, 3, padding=1, scale="channel"),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(8),
            xnn.Sign(),
            nn.Flatten(),
            xnn.BinaryLinear(8 * 3 * 3, 4, bias=True, scale="channel"),
        )
        pixels = torch.randint(0, 256, (64, 1, 6, 6)).float()
        # batch norms that know the network's own sums
        for _ in range(20):
            net(pixels)
        with torch.no_grad():
            net[2].weight[::2] *= -1
            net[6].weight[1::3] *= -1
    return net.eval()


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the small network's model file, with ten samples and labels."""
    import xnorhw

    path = tmp_path_factory.mktemp("small") / "small.pt"
    rng = np.random.default_rng(3)
    samples = rng.integers(0, 256, (10, 1, 6, 6)).astype(np.uint8)
    xnorhw.save(small_net(), path, xnorhw.Input((1, 6, 6)), samples=samples, labels=np.arange(10) % 4)
    return path


@pytest.fixture(scope="session")
def small_build(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the small network, to be read only."""
    import xnorhw

    out = tmp_path_factory.mktemp("build") / "out"
    xnorhw.load(small_model).build("pynq-z2", out)
    return out


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the random networks covered, from whichever worker ran them."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "coverage":
                    terminalreporter.section("random networks")
                    terminalreporter.write_line(str(value))
