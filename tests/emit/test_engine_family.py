"""The engine's C against golden on graphs with every operation, on every path."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.emit.engine_graphs import GRAPHS, Drawing
from tests.engine.library import AARCH64, ARM, NATIVE, WARNINGS, X86, Target
from xnorhw import golden
from xnorhw.emit import engine
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan.engine import engine_network
from xnorhw.plan.engine_model import RequantStep
from xnorhw.sim.engine_run import engine_paths, input_bytes, run_program

SEED = 20260801
PARTS = ("accel_network", "accel_engine", "engine_main")


@pytest.fixture(scope="session")
def drawings() -> dict[str, Drawing]:
    return {name: draw(SEED) for name, draw in GRAPHS.items()}


def library(work: Path, target: Target, *flags: str) -> list[Path]:
    """The engine's own sources as objects: the same for every network."""
    target.skip_unless_here()
    some = engine.engine_files(next(iter(GRAPHS.values()))(1).scores())
    for path, text in some.items():
        if Path(path).name.startswith("xh_"):
            (work / Path(path).name).write_text(text, encoding="utf-8")
    sources = sorted(work.glob("xh_*.c"))
    command = [*target.compiler, *WARNINGS, *flags, "-c", *(path.name for path in sources)]
    subprocess.run(command, cwd=work, check=True)
    return [path.with_suffix(".o") for path in sources]


def program(graph: IntGraph, objects: list[Path], work: Path, target: Target, *flags: str) -> Path:
    """accel-engine of one network."""
    work.mkdir()
    for path, text in engine.engine_files(graph).items():
        if "xh_" not in path and path.endswith((".c", ".h")):
            (work / Path(path).name).write_text(text, encoding="utf-8")
    include = ["-I.", f"-I{objects[0].parent}"]
    sources = [f"{part}.c" for part in PARTS]
    subprocess.run([*target.compiler, *WARNINGS, *flags, *include, "-c", *sources], cwd=work, check=True)
    parts = [f"{part}.o" for part in PARTS]
    command = [*target.compiler, *flags, *parts, *map(str, objects), "-lm", "-o", "accel-engine"]
    subprocess.run(command, cwd=work, check=True)
    return work / "accel-engine"


def differences(made: Path, drawing: Drawing, path: str, target: Target = NATIVE, *options: str) -> list[str]:
    """The tensors that differ from golden's, and the scores."""
    graph = drawing.scores()
    runner = (*target.runner,)
    got = run_program(made, graph, drawing.codes, made.parent, path=path, runner=runner, options=options)
    right = golden.run(graph, drawing.codes)
    wrong = [name for name, values in right.items() if not np.array_equal(got.tensors[name], values)]
    scores = golden.scores(graph, right[graph.output])
    return wrong if np.array_equal(got.scores, scores) else [*wrong, "scores"]


@pytest.fixture(scope="session")
def native(drawings: dict[str, Drawing], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    work = tmp_path_factory.mktemp("family")
    objects = library(work, NATIVE)
    return {name: program(d.scores(), objects, work / name, NATIVE) for name, d in drawings.items()}


# (file, what stands there, what a mistake would have written)
FAULTS = {
    "a level too high": ("xh_passes.h", "x >= at[low + half - 1]", "x > at[low + half - 1]"),
    "a falling channel of levels": ("xh_passes.h", "of->levels - y[c] :", "y[c] :"),
    "signs all turned as at the first pixel": ("xh_passes.h", "(sign->flips ? words : 0)", "0"),
    "levels all turned as at the first pixel": ("xh_passes.h", "of->flips ? (s->pixel", "0 ? (s->pixel"),
    "all factors those of the first pixel": (
        "xh_passes.h",
        "of->positions ? (s->pixel + (size_t)p) * (size_t)channels : 0;\n        const size_t c0",
        "0;\n        const size_t c0",
    ),
    "a shift of its own sign": (
        "xh_passes.h",
        "(sum >> shift, even && ((uint32_t)",
        "(sum / (1 << shift), even && ((uint32_t)",
    ),
    "ties of 32 bits rounded up": ("xh_passes.h", "even && ((uint32_t)sum", "0 && ((uint32_t)sum"),
    "ties of a long addend rounded up": ("xh_passes.h", "even && (sum & dropped)", "0 && (sum & dropped)"),
    "ties of 64 bits rounded up": ("xh_passes.h", "even && ((uint64_t)sum", "0 && ((uint64_t)sum"),
    "ties rounded down": ("xh_passes.h", "return y & ~(value)tie;", "return y - tie;"),
    "every code made even": ("xh_passes.h", "return y & ~(value)tie;", "return tie < 2 ? y & -2 : y;"),
    "a clamp forgotten": ("xh_passes.h", "return y < high ? y : high;", "return y;"),
    "an operand not shifted": ("xh_passes.h", "((uvalue)x[i] << shift)", "((uvalue)x[i])"),
    "a minimum as a maximum": ("xh_passes.h", "best[c] ^= turned[c];", "(void)turned;"),
    "bits lost between words": ("xh_passes.h", "word[1] = *from >> (32 - shift);", "word[1] = 0;"),
    "magnitudes with a sign": ("xh_passes.h", "x[c] < 0 ? -(uvalue)x[c]", "x[c] < 0 ? (uvalue)x[c]"),
    "the sign of a code": ("xh_planes.c", "b == planes->bits - 1 ? -(1 << b)", "b < 0 ? -(1 << b)"),
    "a plane of its cut": ("xh_planes.c", "(127 - cut)", "(128 - cut)"),
    "padding of zeros": ("xh_planes.c", "memset(padding, product->pad_value,", "memset(padding, 0,"),
    "the ones of a padded tap": ("xh_product.c", "ky = of->y.tap; k->ones", "ky = 0; k->ones"),
    "sums of bytes run over": ("xh_quads.c", "INT16_MAX / (2 * most", "INT16_MAX / (most"),
    "only the last term of bytes": ("xh_quads.c", "(four[4 * j] + (one", "((one"),
    "bytes of padding": (
        "xh_quads.c",
        "memset(to, k->product->pad_value, (size_t)left",
        "memset(to, 0, (size_t)left",
    ),
    "sums of bytes not widened in time": ("xh_quads.h", "room -= now;", "room -= 0;"),
    "one plane for all": ("xh_product.c", "end.map += (first + i) * k->plane;", "end.map += i * k->plane;"),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("path", X86)
def test_every_tensor(native: dict[str, Path], drawings: dict[str, Drawing], name: str, path: str) -> None:
    if path not in engine_paths(native[name]):
        pytest.skip(f"this processor lacks {path}")
    assert differences(native[name], drawings[name], path) == []


@pytest.mark.parametrize("target", [ARM, pytest.param(AARCH64, marks=pytest.mark.long)], ids=lambda t: t.name)
def test_every_tensor_on_arm(drawings: dict[str, Drawing], tmp_path: Path, target: Target) -> None:
    objects = library(tmp_path, target)
    for name, drawing in drawings.items():
        made = program(drawing.scores(), objects, tmp_path / name, target)
        assert differences(made, drawing, "neon", target) == []


@pytest.mark.long
def test_threads_and_sanitizers(drawings: dict[str, Drawing], tmp_path: Path) -> None:
    flags = ("-DXH_THREADS", "-pthread", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    objects = library(tmp_path, NATIVE, *flags)
    for name, drawing in drawings.items():
        made = program(drawing.scores(), objects, tmp_path / name, NATIVE, *flags)
        for path in (engine_paths(made)[0], "plain"):
            assert differences(made, drawing, path, NATIVE, "--threads", "3") == []


def test_every_tensor_has_several_values(drawings: dict[str, Drawing]) -> None:
    """What is compared says something: no tensor is constant, codes spread over their range."""
    for drawing in drawings.values():
        for name, values in drawing.values.items():
            kind = drawing.kind(name)
            assert len(np.unique(values)) > 1 or name.endswith("lookup"), name
            if name.endswith("requant") and values.shape[1] > 1:
                assert values.max() - values.min() > (kind.max - kind.min) // 4, name
        assert all(len(moved) > 500 for moved in drawing.ties.values())
    assert len(drawings["evens"].ties) >= 6


def test_factors_of_positions_have_every_width(drawings: dict[str, Drawing]) -> None:
    layers = engine_network(drawings["positions"].scores()).layers
    steps = [layer.step for layer in layers if isinstance(layer.step, RequantStep)]
    assert all(step.positions == 42 for step in steps)
    assert len({(step.multiplier is None, step.addend is None) for step in steps}) == 3


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_noticed(
    native: dict[str, Path], drawings: dict[str, Drawing], tmp_path: Path, fault: str
) -> None:
    file, old, new = FAULTS[fault]
    sound = native["fire"].parent.parent
    for path in [*sound.glob("xh_*.h"), *sound.glob("xh_*.o")]:
        shutil.copy(path, tmp_path)
    text = (sound / file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tmp_path / file).write_text(text.replace(old, new), encoding="utf-8")
    path = "ssse3" if file in ("xh_quads.c", "xh_quads.h") else "plain"
    changed = [file] if file.endswith(".c") else [f"xh_{path}.c", "xh_wide.c"]
    if path not in engine_paths(native["fire"]):
        pytest.skip(f"this processor lacks {path}")
    for name in changed:
        if name != file:
            shutil.copy(sound / name, tmp_path)
    command = [*NATIVE.compiler, *(flag for flag in WARNINGS if flag != "-Werror"), "-c", *changed]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    objects = sorted(tmp_path.glob("xh_*.o"))
    assert any(
        differences(relinked(native[name].parent, objects, tmp_path / name), drawing, path)
        for name, drawing in drawings.items()
    )


def relinked(made: Path, objects: list[Path], work: Path) -> Path:
    """The program of a network with another library."""
    work.mkdir()
    command = [*NATIVE.compiler, *(str(made / f"{name}.o") for name in PARTS), *map(str, objects), "-lm"]
    subprocess.run([*command, "-o", "accel-engine"], cwd=work, check=True)
    return work / "accel-engine"


def test_a_profile_names_every_layer(native: dict[str, Path], drawings: dict[str, Drawing]) -> None:
    made, drawing = native["residual"], drawings["residual"]
    (made.parent / "frames.bin").write_bytes(input_bytes(drawing.graph, drawing.codes))
    command = [made, "--quiet", "--profile", "--repeat", "3", "frames.bin"]
    said = subprocess.run(command, cwd=made.parent, text=True, capture_output=True, check=True).stdout
    rows = re.findall(r"^ *(\d+\.\d+) +(\d+\.\d) +(.*)$", said, re.MULTILINE)
    network = engine_network(drawing.scores())
    assert [rows[0][2], rows[-1][2]] == ["input", "scores"] and len(rows) == len(network.layers) + 2
    for node in drawing.nodes:
        assert (
            sum(re.search(rf"\b{re.escape(node.output.name)}(:|,)", row[2]) is not None for row in rows) == 1
        )
    assert abs(sum(float(row[1]) for row in rows) - 100) < 2
    median = float(re.search(r"([0-9.]+) ms a frame", said)[1])  # type: ignore[index]
    assert 0 < sum(float(row[0]) for row in rows) < 100 * median


@pytest.mark.parametrize("damage", ["shared", "unknown", "unmade"])
def test_tables_that_do_not_hold_are_refused(
    native: dict[str, Path], drawings: dict[str, Drawing], tmp_path: Path, damage: str
) -> None:
    """A tensor that another one overwrites, no such memory, a layer that reads what comes behind it."""
    made = native["residual"].parent
    network = (made / "accel_network.c").read_text(encoding="utf-8")
    if damage == "unmade":
        changed = re.sub(r"\{XH_PRODUCT, 0, (\d+), ", r"{XH_PRODUCT, \1, \1, ", network, count=1)
    else:
        found = re.search(r"int32_t buffers\[\d+\] = \{\n(.*?)\n\};", network, re.DOTALL)
        assert found is not None
        numbers = re.sub(r"\d+", "0" if damage == "shared" else "99", found[1])
        changed = network.replace(found[1], numbers)
    assert changed != network
    (tmp_path / "accel_network.c").write_text(changed, encoding="utf-8")
    library_of = made.parent
    subprocess.run(
        [*NATIVE.compiler, "-std=c11", "-I", str(made), "-I", str(library_of), "-c", "accel_network.c"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    parts = [tmp_path / "accel_network.o", *(made / f"{name}.o" for name in PARTS[1:])]
    objects = sorted(library_of.glob("xh_*.o"))
    command = [*NATIVE.compiler, *map(str, parts), *map(str, objects), "-lm", "-o", "accel-engine"]
    subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "frames.bin").write_bytes(input_bytes(drawings["residual"].graph, drawings["residual"].codes))
    done = subprocess.run(["./accel-engine", "frames.bin"], cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode == 1 and "describe a layer that the engine does not run" in done.stderr


def test_a_tensor_is_found_by_its_module(
    native: dict[str, Path], drawings: dict[str, Drawing], tmp_path: Path
) -> None:
    """A feature in the middle of the network, through the library's header alone."""
    made, drawing = native["fire"].parent, drawings["fire"]
    name = next(node.output.name for node in drawing.nodes if node.output.name.endswith("concat"))
    (tmp_path / "feature.c").write_text(FEATURE.replace("NAME", name), encoding="utf-8")
    objects = [*(made / f"{part}.o" for part in PARTS[:2]), *sorted(made.parent.glob("xh_*.o"))]
    subprocess.run(
        [*NATIVE.compiler, *WARNINGS, f"-I{made}", "feature.c", *map(str, objects), "-lm", "-o", "feature"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    frame = input_bytes(drawing.graph, drawing.codes[:1])
    said = subprocess.run([tmp_path / "feature"], input=frame, capture_output=True, check=True).stdout
    right = drawing.values[name][0].transpose(1, 2, 0).ravel()
    assert np.array_equal(np.array(said.split(), np.int64), right)


FEATURE = """#include <stdio.h>
#include "accel_engine.h"
static void show(void *user, int32_t tensor, const int64_t *values, size_t count)
{
    for (size_t i = 0; tensor == *(int32_t *)user && i < count; i++)
        printf("%d ", (int)values[i]);
}
int main(void)
{
    accel_engine *engine;
    accel_input_t frame[ACCEL_INPUT_ELEMENTS];
    float scores[ACCEL_CLASSES];
    int32_t feature = accel_engine_tensor("NAME");
    if (accel_engine_tensor("no such module") != -1 || accel_engine_tensor(NULL) != -1)
        return 1;
    if (accel_engine_layer(-1) != NULL || accel_engine_layer(accel_engine_layers()) != NULL)
        return 1;
    if (fread(frame, sizeof frame, 1, stdin) != 1 || accel_engine_open(&engine) != ACCEL_ENGINE_OK)
        return 1;
    accel_engine_observe(engine, show, &feature);
    int error = accel_engine_run(engine, frame, scores);
    accel_engine_close(engine);
    return error;
}
"""
