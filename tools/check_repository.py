"""What no linter knows: words that do not belong into the repository, files that outgrew their job.

    python tools/check_repository.py [ROOT]

Reads what git tracks or would track, so that what a build leaves is no matter.  Prints one
line a finding and exits with 1 where there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 500
TEXT = {
    "",
    ".cpp",
    ".css",
    ".f",
    ".h",
    ".j2",
    ".md",
    ".mk",
    ".py",
    ".rst",
    ".sv",
    ".svh",
    ".tcl",
    ".toml",
    ".txt",
    ".v",
}
# licence: its own text; constraints: one line a package
ANY_LENGTH = {"LICENSE", "constraints.txt"}
# this file and its test spell the words out
SPELLED_OUT = {"tools/check_repository.py", "tests/test_repository.py"}

WORDS = {
    "a path of some machine": r"(?<![\w./$)}-])/(?:work|root|home/\w+|Users/\w+|opt/\w+|tmp/\w+)(?:/|\b)",
    "a folder that is not in the repository": r"(?<![\w-])\.?\.?/?shared/(?!memory)",
    "talk of who wrote it": r"\b(?:AI (?:agent|assistant|model)|language model|LLM|chatbot|sub-?agent|"
    r"(?:this|previous|next|other) session|prompt engineering)\b",
    "an issue's number": r"\b(?:issue|ticket) #?\d+\b|(?<![\w&/])#\d{1,4}\b(?=[\s).,;:])",
    "a package registry's address": r"https?://(?:[\w.-]*pypi[\w.-]*|files\.pythonhosted\.org|"
    r"download\.pytorch\.org|proxy\.golang\.org|registry\.[\w.-]+)",
    "an unfinished place": r"\b(?:TODO|FIXME|XXX|HACK)\b",
}
# what SystemVerilog (delays, parameters), C (directives) and CSS (colours) write with a number sign
NUMBER_SIGNS = {".sv", ".svh", ".v", ".cpp", ".h", ".j2", ".css"}


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else ROOT
    findings = [line for name in tracked(root) for line in check(root, name)]
    print("\n".join(findings) if findings else "the repository is clean")
    return 1 if findings else 0


def tracked(root: Path) -> list[str]:
    """Paths that are in git or would be after `git add`; where there is no git, all that is not hidden."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.splitlines()
    else:
        paths = (p.relative_to(root) for p in root.rglob("*") if p.is_file())
        names = [p.as_posix() for p in paths if not any(part == "work" or part[0] == "." for part in p.parts)]
    return sorted({name for name in names if (root / name).is_file()})


def check(root: Path, name: str) -> list[str]:
    """The findings in one file."""
    path = root / name
    if path.suffix not in TEXT or name in SPELLED_OUT:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return [f"{name}: no UTF-8 text"]
    found = []
    # an approved text is as long as what it approves
    if len(lines) > LONGEST and name not in ANY_LENGTH and ".golden." not in name:
        found.append(f"{name}: {len(lines)} lines, more than {LONGEST}: one job or several?")
    for kind, pattern in WORDS.items():
        if kind == "an issue's number" and path.suffix in NUMBER_SIGNS:
            continue
        for number, line in enumerate(lines, 1):
            match = re.search(pattern, line)
            if match:
                found.append(f"{name}:{number}: {kind}: {match.group(0)!r}")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
