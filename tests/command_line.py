"""What the tests of the command line share: a call of it, how it ended, and what a refusal looks like."""

from __future__ import annotations

import pytest

from xnorhw.cli import main

__all__ = ["Ended", "called", "refused"]


class Ended:
    """What a command left: exit code, standard output and standard error."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ended:
    """Run the command line with ``arguments`` in this process."""
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return Ended(int(end.value.code or 0), captured.out, captured.err)


def refused(ended: Ended, *parts: str) -> None:
    """Exit 1, one paragraph on standard error that holds ``parts``, no traceback."""
    assert ended.code == 1
    lines = [line for line in ended.err.splitlines() if line.startswith("xnorhw: error: ")]
    assert len(lines) == 1 and ended.err.endswith(lines[0] + "\n")
    assert "Traceback" not in ended.err and "fault of xnorhw" not in ended.err
    for part in parts:
        assert part in lines[0], f"{part!r} is not in {lines[0]!r}"
