"""Makes `pytest rtl_tests` work bare: the checkout on the path, and the options of the benches."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

NETLISTS = ROOT / "rtl_tests" / "units" / "test_yosys.py"


def pytest_sessionstart() -> None:
    """The makefiles that Verilator writes split every path at its spaces."""
    if any(c.isspace() for c in str(ROOT)):
        pytest.exit(
            f"rtl_tests: make cannot build in a path with spaces: {ROOT}; move the checkout", returncode=2
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--build",
        metavar="FOLDER",
        default=None,
        help="run the network bench on this build folder",
    )
    parser.addoption(
        "--yosys",
        action="store_true",
        help="also run the benches of the units on the netlists that yosys makes of them (minutes)",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The netlists' benches are for who asks for them."""
    if collection_path == NETLISTS and not config.getoption("--yosys"):
        return True
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the random networks covered, from whichever worker ran them."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "coverage":
                    terminalreporter.section("random networks")
                    terminalreporter.write_line(str(value))
