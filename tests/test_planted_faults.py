"""The script that plants faults: that it still fits the templates, and how it judges."""

from __future__ import annotations

import pytest

from tools.faults import FAULTS, HLS_FAULTS, RTL_FAULTS, Fault
from tools.plant_faults import ROOT, judge, planted


@pytest.mark.parametrize("fault", FAULTS, ids=[f.name for f in FAULTS])
def test_a_fault_changes_one_line(fault: Fault) -> None:
    text = (ROOT / fault.template).read_text(encoding="utf-8")
    wrong = planted(fault, text)
    changed = [(a, b) for a, b in zip(text.splitlines(), wrong.splitlines(), strict=True) if a != b]
    assert len(changed) == 1
    assert (ROOT / fault.tests).is_file()


def test_there_are_ten_of_each() -> None:
    assert len(RTL_FAULTS) == len(HLS_FAULTS) == 10
    assert len({f.name for f in FAULTS}) == len(FAULTS)


def test_a_text_that_is_not_found_once_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 times"):
        planted(FAULTS[0], "module xh_mvu;")
    with pytest.raises(ValueError, match="2 times"):
        planted(FAULTS[0], FAULTS[0].right * 2)


@pytest.mark.parametrize(
    ("code", "output", "caught"),
    [
        (1, "mvu: 3 of 9 failed", True),
        (1, "%Error: a result beat changed\nbench.frames_back_to_back failed", True),
        (1, "FileNotFoundError: templates/rtl\n1 failed in 0.1 s", False),
        (0, "9 passed", False),
        (1, "mvu was not built: 1", False),
        (1, "%Error: Exiting due to 2 error(s)", False),
        (2, "interrupted", False),
        (4, "no tests ran", False),
    ],
)
def test_only_failing_tests_catch(code: int, output: str, caught: bool) -> None:
    assert judge(FAULTS[0], code, output).caught is caught
