"""Programs that run many stages by themselves: generated sources, compiled together, words in and out."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rtl_tests.hls.unit_cases import FRAMES, UNIT, UnitCase
from xnorhw.emit import hls
from xnorhw.ir.float_graph import Input
from xnorhw.ir.int_graph import IntGraph, Tensor
from xnorhw.ir.types import BIPOLAR
from xnorhw.plan.hls import hls_design
from xnorhw.sim.hls_run import FLAGS

__all__ = ["Change", "Outcome", "kept", "run_cases", "stages_text", "watched"]

COMPILERS = 2
"""Files compiled at once."""
PER_FILE = 24
"""Cases in a translation unit."""

_NOTHING = Tensor("input", (1, 1, 1), BIPOLAR)
_GRAPH = IntGraph(Input((1, 1, 1), encoding="bipolar"), _NOTHING, (), "input", (), (1, 1, 1))

Change = Callable[[str], str]
"""From the text of a case's stages to that which is compiled."""


@dataclass(frozen=True)
class Outcome:
    """What the program said: its exit code, its complaint, and the words of each case that came to an end."""

    code: int
    said: str
    words: dict[str, list[tuple[int, ...]]]


def _emitted(case: UnitCase, prefix: str) -> dict[str, str]:
    design = case.design or hls_design(case.plan)
    with (
        mock.patch.object(hls, "hls_design", lambda _: design),
        mock.patch.object(hls, "weight_words", lambda *_: list(case.weights)),
        mock.patch.object(hls, "start_words", lambda *_: list(case.starts)),
        mock.patch.object(hls, "table_words", lambda *_: list(case.table)),
    ):
        return hls.files(case.plan, _GRAPH, prefix)


def stages_text(case: UnitCase) -> str:
    """The text of the case's stages."""
    return _emitted(case, "unit0")["hls/unit0_stages.cpp"]


# --- changes of the text -----------------------------------------------------------------------

_FUNCTION = re.compile(r"^void \w+\([^\n]*\) \{\n(.*?)^\}\n", re.MULTILINE | re.DOTALL)
_DECLARED = re.compile(r"^  (?=(?:ap_u?int<|bool |xh_watched<))", re.MULTILINE)
_LABEL = re.compile(r"^  \w+:\n", re.MULTILINE)
_DISTANCE = re.compile(
    r"#pragma HLS DEPENDENCE variable=(\w+) type=inter direction=RAW distance=(\d+) dependent=true$", re.M
)
_BODY = re.compile(r"(#pragma HLS PIPELINE [^\n]*\n(?:\s*#pragma[^\n]*\n)*)")


def kept(text: str) -> str:
    """Every variable that a stage declares in front of its loop made static.

    So it is in hardware: with ``rewind`` what stands before the loop happens once, and the
    next frame finds what the last one left.
    """

    def change(function: re.Match[str]) -> str:
        body = function[1]
        loop = _LABEL.search(body)
        assert loop, body
        front = _DECLARED.sub("  static ", body[: loop.start()])
        return function[0].replace(body, front + body[loop.start() :])

    return _FUNCTION.sub(change, text)


def watched(text: str) -> str:
    """Each memory with a distance from write to read replaced by one that counts the turns between them."""

    def change(function: re.Match[str]) -> str:
        body = function[1]
        distances = dict(_DISTANCE.findall(body))
        assert body.count("DEPENDENCE") == len(distances), body
        for name, distance in distances.items():
            body, found = re.subn(
                rf"^  (ap_uint<\d+>) {name}\[", rf"  xh_watched<\1, {distance}> {name}[", body, flags=re.M
            )
            assert found == 1, (name, body)
        if distances:
            body, found = _BODY.subn(r"\1xh_turn = ++turns;\n", body)
            assert found == 1, body
            body = "  static long turns = 0;\n" + body
        return function[0].replace(function[1], body)

    return _FUNCTION.sub(change, text)


# a memory whose words are not to be read sooner than DISTANCE turns after they were written
_WATCHED = """
#include <cstdio>
#include <cstdlib>

extern long xh_turn;  // of the stage that runs

template <class T, int DISTANCE>
class xh_watched {
public:
  operator const T &() const {
    if (written_ && xh_turn - written_ < DISTANCE) {
      std::fprintf(stderr, "read %ld turns after it was written\\n", xh_turn - written_);
      std::exit(9);
    }
    return value_;
  }
  xh_watched &operator=(const T &value) {
    value_ = value;
    written_ = xh_turn;
    return *this;
  }

private:
  T value_;
  long written_ = 0;
};
"""

_HARNESS = """
#include <cstdio>

#include "ap_int.h"
#include "hls_stream.h"

template <int W>
void take(std::FILE *in, hls::stream<ap_uint<W> > &stream, int words) {
  static char text[2000];
  for (int i = 0; i < words; i++) {
    if (std::fscanf(in, "%1999s", text) != 1) xh::fail(xh::kUsage, "the input ends");
    stream.write(ap_uint<W>(text, 16));
  }
}

template <int W>
void give(std::FILE *out, hls::stream<ap_uint<W> > &stream) {
  while (!stream.empty()) xh::print_word(out, ap_uint<W>(stream.read()));
}
"""


def _call(case: UnitCase, prefix: str) -> str:
    """A function that sends the frames through the stages, one after the other."""
    named = hls.named_stages(case.design or hls_design(case.plan))
    if case.design:
        named = tuple((stage, names) for stage, names in named if stage.name == UNIT)
    widths = {p.stream: p.width for _, names in named for p in names.parameters}
    read = {s: names.parameters[i].stream for stage, names in named for i, s in enumerate(stage.sources)}
    written = {p.stream for stage, names in named for p in names.parameters[len(stage.sources) :]}
    text = f"void run_{prefix}(std::FILE *in, std::FILE *out) {{\n"
    for stream, width in widths.items():
        text += f'  hls::stream<ap_uint<{width}> > {stream}("{stream}");\n'
    text += f"  for (int frame = 0; frame < {FRAMES}; frame++) {{\n"
    for source, stream in read.items():
        if stream not in written:
            text += f"    take(in, {stream}, {source.words});\n"
    for _, names in named:
        streams = [p.stream for p in names.parameters]
        text += f"    {prefix}_stages::{names.function}({', '.join(streams)});\n"
    for stream in widths:
        if stream in read.values():
            said = f"{stream}: %zu words are left"
            text += f'    if (!{stream}.empty()) xh::fail(xh::kLeftOver, "{said}", {stream}.size());\n'
        else:
            text += f"    give(out, {stream});\n"
    return text + '    std::fprintf(out, ".\\n");\n  }\n}\n'


def run_cases(
    cases: Sequence[UnitCase], work: Path, change: Change = str, vendor: Path | None = None
) -> Outcome:
    """Compile the stages of ``cases``, changed, and send their frames through, as C simulation does.

    ``vendor`` holds an ap_int.h to take instead of the stand-in.
    """
    files: dict[str, str] = {"xh_watched.h": _WATCHED, "harness.h": _HARNESS}
    prefixes = [f"unit{i}" for i in range(len(cases))]
    calls = {}
    for case, prefix in zip(cases, prefixes, strict=True):
        emitted = _emitted(case, prefix)
        for path, text in emitted.items():
            name = path.removeprefix("hls/")
            if name.endswith((".h", "_stages.cpp")) and name.removeprefix("sim/") not in (
                "network.h",
                "dpi.h",
            ):
                files[name.removeprefix("sim/")] = text
        files[f"{prefix}_stages.cpp"] = change(files[f"{prefix}_stages.cpp"])
        calls[prefix] = _call(case, prefix)
    if vendor is not None:
        del files["ap_int.h"]
    units = ["main.cpp"]
    for first in range(0, len(cases), PER_FILE):
        some = prefixes[first : first + PER_FILE]
        text = '#define AP_INT_MAX_W 4096\n#include "harness.h"\n#include "xh_watched.h"\n'
        for prefix in some:
            text += f'#include "{prefix}_stages.cpp"\n{calls[prefix]}'
        units.append(f"cases{first}.cpp")
        files[units[-1]] = text
    files["main.cpp"] = _main(cases, prefixes)
    work.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (work / name).write_text(text, encoding="utf-8", newline="\n")
    _compile(units, work, vendor)
    return _run(cases, work)


def _main(cases: Sequence[UnitCase], prefixes: list[str]) -> str:
    text = "#include <cstdio>\n\nlong xh_turn = 0;\n"
    text += "".join(f"void run_{prefix}(std::FILE *, std::FILE *);\n" for prefix in prefixes)
    text += 'int main() {\n  std::FILE *in = std::fopen("in.hex", "r"), *out = std::fopen("out.hex", "w");\n'
    for case, prefix in zip(cases, prefixes, strict=True):
        text += f'  std::fprintf(out, "= {case.name}\\n");\n  run_{prefix}(in, out);\n'
    return text + "  std::fclose(out);\n}\n"


def _compile(units: list[str], work: Path, vendor: Path | None) -> None:
    flags = [flag for flag in FLAGS if not flag.startswith("-O")]
    if vendor is not None:
        flags += ["-isystem", str(vendor)]

    def one(unit: str) -> subprocess.CompletedProcess[str]:
        command = ["g++", *flags, "-O0", "-I", ".", "-c", unit]
        return subprocess.run(command, cwd=work, capture_output=True, text=True)

    with ThreadPoolExecutor(COMPILERS) as pool:
        for done in pool.map(one, units):
            assert done.returncode == 0, done.stderr[:4000]
    objects = [unit.replace(".cpp", ".o") for unit in units]
    done = subprocess.run(["g++", *objects, "-o", "run"], cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


def _run(cases: Sequence[UnitCase], work: Path) -> Outcome:
    words = itertools.chain.from_iterable(frame for case in cases for frame in case.taken)
    (work / "in.hex").write_text("".join(f"0x{word:X}\n" for word in words), encoding="ascii")
    done = subprocess.run(["./run"], cwd=work, capture_output=True, text=True, timeout=120)
    found: dict[str, list[tuple[int, ...]]] = {}
    for part in (work / "out.hex").read_text(encoding="ascii").split("= ")[1:]:
        name, _, rest = part.partition("\n")
        frames = rest.split(".\n")[:-1]
        found[name] = [tuple(int(word, 16) for word in frame.split()) for frame in frames]
    return Outcome(done.returncode, done.stderr, found)
