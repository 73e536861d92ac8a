"""Our ap_uint and ap_int against AMD's, and what they refuse."""

from __future__ import annotations

import importlib.util
import random
import subprocess
from pathlib import Path

import pytest

STANDINS = Path(__file__).resolve().parents[2] / "templates" / "hls" / "sim"
SOURCES = Path(__file__).resolve().parent / "standins"
WARNINGS = ("-Wall", "-Wextra", "-Werror")
WIDTHS = (1, 2, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 200, 1024)


@pytest.fixture(scope="session")
def vendor() -> Path:
    """AMD's headers, as the hls4ml wheel ships them."""
    found = importlib.util.find_spec("hls4ml")
    for place in (found.submodule_search_locations or []) if found else []:
        headers = Path(place) / "templates" / "vivado" / "ap_types"
        if (headers / "ap_int.h").is_file():
            return headers
    pytest.skip("AMD's headers are missing; run: pip install --no-deps hls4ml")


def types() -> list[str]:
    return [f"{kind}<{width}>" for width in WIDTHS for kind in ("ap_uint", "ap_int")]


def programs() -> dict[str, str]:
    """Every type by itself, every type in two pairs at least, and the pairs of one width."""
    rng = random.Random(5)
    names = types()
    shuffled = rng.sample(names, len(names))
    pairs = list(zip(names, shuffled, strict=True))
    pairs += [(f"ap_uint<{width}>", f"ap_int<{width}>") for width in (1, 31, 32, 64, 65)]
    alone = rng.sample(names, len(names))
    made = {}
    for part in range(3):
        body = "".join(
            f"  for (int i = 0; i < VALUES; i++) alone<{name} >(i, state);\n" for name in alone[part::3]
        )
        body += "".join(f"  pair<{a}, {b} >(state);\n" for a, b in pairs[part::3])
        made[f"part {part}"] = (
            f'#include "operators.hpp"\nint main() {{\n  unsigned long long state = {part + 1};\n{body}}}\n'
        )
    return made


def output(compiler: str, text: str, headers: Path, place: Path, *flags: str) -> str:
    place.mkdir()
    (place / "main.cpp").write_text(text)
    command = [compiler, "-std=c++14", *flags, f"-I{headers}", f"-I{SOURCES}", "main.cpp", "-o", "main"]
    subprocess.run(command, cwd=place, check=True)
    # AMD's headers warn on standard error and, unasked, on standard output
    done = subprocess.run([str(place / "main")], cwd=place, check=True, capture_output=True, text=True)
    return "".join(line for line in done.stdout.splitlines(True) if not line.startswith("Warning!"))


FIRST, *REST = programs()


@pytest.mark.parametrize("name", [FIRST, *(pytest.param(name, marks=pytest.mark.long) for name in REST)])
def test_every_operator_is_the_vendors(compiler: str, vendor: Path, tmp_path: Path, name: str) -> None:
    text = programs()[name]
    ours = output(compiler, text, STANDINS, tmp_path / "ours", "-O1", *WARNINGS)
    theirs = output(compiler, text, vendor, tmp_path / "theirs", "-O0", "-w")
    assert ours.count("\n") > 50_000
    for number, (our, their) in enumerate(zip(ours.splitlines(), theirs.splitlines(), strict=True)):
        assert our == their, f"line {number}"


ALLOWED = "ap_uint<9> x = 5; ap_uint<70> w = 1; "


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("long long n = w; (void)n;", "a value of more than 64 bits is no built-in integer"),
        ("ap_uint<9> y = 1.5; (void)y;", "conversion from"),
        ("ap_uint<4097> y = 1; (void)y;", "wider than AP_INT_MAX_W"),
        ("ap_uint<0> y; (void)y;", "an ap_int has one bit at least"),
        ("bool y = w == w.range(3, 0); (void)y;", "use of deleted function"),
        ("bool y = x.range(3, 0) == 1; (void)y;", "use of deleted function"),
        ("x = x.range(3, 0) + 1;", "use of deleted function"),
        ("w |= w.range(3, 0);", "no match for"),
        ('ap_uint<9> y("0x1"); (void)y;', "no matching function"),
    ],
)
def test_what_generated_text_does_not_use_is_refused(
    compiler: str, tmp_path: Path, statement: str, text: str
) -> None:
    source = tmp_path / "main.cpp"
    for use, refused in (("", False), (statement, True)):
        source.write_text(
            '#define AP_INT_MAX_W 4096\n#include "ap_int.h"\n'
            f"int main() {{ {ALLOWED}{use} return int(x) - w.to_int(); }}\n"
        )
        command = [compiler, "-std=c++14", "-fsyntax-only", *WARNINGS, "-I", str(STANDINS), str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode != 0) == refused, done.stderr
        assert (text in done.stderr) == refused


def test_the_widest_type_has_to_be_asked_for(compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "main.cpp"
    for head, refused in (("#define AP_INT_MAX_W 4096\n", False), ("", True)):
        source.write_text(f'{head}#include "ap_int.h"\nint main() {{ return ap_uint<4096>(0).to_int(); }}\n')
        command = [compiler, "-std=c++14", "-fsyntax-only", *WARNINGS, "-I", str(STANDINS), str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode != 0) == refused
        assert ("wider than AP_INT_MAX_W" in done.stderr) == refused


def test_places_outside_of_a_value_end_the_program(compiler: str, tmp_path: Path) -> None:
    uses = {
        "x[i]": "ap_int: bit 9 lies outside of a value of 9 bits\n",
        "x[-i]": "ap_int: bit -9 lies outside of a value of 9 bits\n",
        "w[i] = 0; x[i] = 1": "ap_int: bit 9 lies outside of a value of 9 bits\n",
        "x.range(i, 0)": "ap_int: a range's upper bit 9 lies outside of a value of 9 bits\n",
        "x.range(2, 3)": "ap_int: a range's lower bit 3 lies outside of a value of 3 bits\n",
        'ap_uint<9>("12", 16)': 'ap_int: "12" is not a hexadecimal number after 0x\n',
        'ap_uint<9>("0x1g", 16)': 'ap_int: "0x1g" is not a hexadecimal number after 0x\n',
        'ap_uint<9>("0x", 16)': 'ap_int: "0x" is not a hexadecimal number after 0x\n',
    }
    cases = "".join(f"case {number}: {use}; break;\n" for number, use in enumerate(uses))
    (tmp_path / "main.cpp").write_text(
        '#include "ap_int.h"\n'
        f"int main(int argc, char **) {{ {ALLOWED}int i = 9;\n"
        f"switch (argc - 1) {{\n{cases}}}\n return 0; }}\n"
    )
    command = [compiler, "-std=c++14", "-w", "-I", str(STANDINS), "main.cpp", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    for number, message in enumerate(uses.values()):
        done = subprocess.run([str(tmp_path / "main"), *["x"] * number], capture_output=True, text=True)
        assert (done.returncode < 0, done.stderr) == (True, message)
