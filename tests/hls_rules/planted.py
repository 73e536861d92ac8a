"""The sample sources, and faults planted in them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.hls_rules import Violation, check, read_folder

SAMPLE = Path(__file__).resolve().parent / "sample"
TOP, STAGES = "accel.cpp", "accel_stages.cpp"


@cache
def _texts() -> tuple[tuple[str, str], ...]:
    return tuple(read_folder(SAMPLE).items())


def sample() -> dict[str, str]:
    """File name -> text of the sample, which has no fault."""
    return dict(_texts())


def planted(*changes: tuple[str, str, str]) -> list[Violation]:
    """What the checker says of the sample with each (file, old, new) replaced once."""
    texts = sample()
    for file, old, new in changes:
        assert old in texts[file], f"{file} has no {old!r}"
        texts[file] = texts[file].replace(old, new, 1)
    return check(texts)


def rules(found: list[Violation]) -> set[str]:
    """The rules that ``found`` names."""
    return {violation.rule for violation in found}


def caught(rule: str, file: str, old: str, new: str) -> None:
    """Assert that the change is caught by ``rule`` in ``file``."""
    found = planted((file, old, new))
    said = "\n".join(str(violation) for violation in found)
    assert rule in rules(found), f"not caught by {rule}: {said or 'nothing was found'}"
    assert any(violation.rule == rule and violation.file == file for violation in found), said
