"""Plants faults in the templates of both cores, one at a time, and shows that the tests catch each.

    python -m tools.plant_faults [--jobs 2] [--only NAME]

For each fault the checkout's sources are copied to a temporary folder, one line of one
template is changed there, and the smallest part of the tests that concerns it is run in the
copy.  A fault is caught where tests fail; where the changed RTL does not even compile, or the
tests fail without the fault too, nothing was shown.  Exit code 1 where a fault is not caught.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("xnorhw", "templates", "boards", "rtl_tests", "tests", "pyproject.toml")
HELPERS = "templates/hls/xh_popcount.h"

NOT_BUILT = ("was not built", "could not be compiled", "%Error: Exiting due to", "make: ***")
TESTS_FAILED = 1
"""pytest's exit code."""


@dataclass(frozen=True)
class Verdict:
    """What came of one fault: whether it was caught, and the line that says why."""

    fault: Fault
    caught: bool
    note: str


def planted(fault: Fault, text: str) -> str:
    """The template's text with the fault in it; ValueError where the right line is not there once."""
    found = text.count(fault.right)
    if found != 1:
        raise ValueError(f"{fault.name}: {fault.template} has {found} times: {fault.right}")
    return text.replace(fault.right, fault.wrong)


def copy_checkout(place: Path) -> None:
    """The sources that rtl_tests needs, without what runs left behind."""
    ignored = shutil.ignore_patterns("__pycache__", "work", "*.pyc")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=ignored)
        else:
            shutil.copy(source, place / name)


def run_tests(place: Path, tests: str) -> tuple[int, str]:
    """pytest's exit code and output for ``tests`` in the copy."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(place)
    # a missing tool must end in an error here, never in a skip
    environment["CI"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", tests],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def judge(fault: Fault, code: int, output: str) -> Verdict:
    """Caught where tests ran on RTL that was built, and failed."""
    if code == 0:
        return Verdict(fault, False, "every test passed")
    if code != TESTS_FAILED:
        return Verdict(fault, False, f"pytest ended with {code}")
    for mark in NOT_BUILT:
        if mark in output:
            return Verdict(fault, False, "the RTL with the fault was not built")
    # a copy that vanished, a test that cannot be collected: only a bench that ran has shown something
    failed = re.search(fault.evidence, output)
    if failed is None:
        return Verdict(fault, False, "pytest failed, but no test that ran said why")
    return Verdict(fault, True, failed.group())


def try_fault(fault: Fault) -> Verdict:
    """Plant ``fault`` in a copy and run its tests."""
    with tempfile.TemporaryDirectory(prefix="xh-fault-") as folder:
        place = Path(folder)
        copy_checkout(place)
        template = place / fault.template
        template.write_text(planted(fault, template.read_text(encoding="utf-8")), encoding="utf-8")
        if fault.helper:
            with (place / HELPERS).open("a", encoding="utf-8") as file:
                file.write(fault.helper)
        return judge(fault, *run_tests(place, fault.tests))


def try_without(tests: str) -> str:
    """The output of ``tests`` where they fail on the templates as they are; empty where they pass."""
    with tempfile.TemporaryDirectory(prefix="xh-fault-") as folder:
        copy_checkout(Path(folder))
        code, output = run_tests(Path(folder), tests)
    return output if code else ""


def main() -> int:
    parser = argparse.ArgumentParser(description="plant faults in the templates and see the tests catch them")
    parser.add_argument("--jobs", type=int, default=2, help="how many to try at once")
    parser.add_argument("--only", metavar="NAME", help="one fault alone")
    options = parser.parse_args()
    faults = [f for f in FAULTS if options.only in (None, f.name)]
    if not faults:
        parser.error(f"no fault is called {options.only!r}")
    for fault in faults:  # fail before the long part
        planted(fault, (ROOT / fault.template).read_text(encoding="utf-8"))
    with ThreadPoolExecutor(options.jobs) as pool:
        selections = sorted({f.tests for f in faults})
        baseline = dict(zip(selections, pool.map(try_without, selections), strict=True))
        for tests, output in baseline.items():
            if output:
                print(f"{tests} fails without a fault:\n{output[-2000:]}", file=sys.stderr)
                return 1
        missed = 0
        for verdict in pool.map(try_fault, faults):
            missed += not verdict.caught
            word = "caught" if verdict.caught else "MISSED"
            row = f"{word}  {verdict.fault.name:<34} {verdict.fault.tests:<36} {verdict.note}"
            print(row, flush=True)
    print(f"{len(faults) - missed} of {len(faults)} faults caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
