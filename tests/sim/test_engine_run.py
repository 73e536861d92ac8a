"""Whole networks through the generated C: every tensor and score is golden's, on every path."""

from __future__ import annotations

import os
import stat
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.library import AARCH64, ARM, NATIVE, Target
from tests.random_networks.build import build
from tests.random_networks.draw import SeededChoices, draw_spec
from tests.sim.engine_library import EngineLibrary
from tests.sim.int_graphs import RandomGraph, random_graph
from xnorhw import golden
from xnorhw.emit import engine
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.trace import trace
from xnorhw.golden.codes import codes_of
from xnorhw.ir.errors import ModelError, ToolError, VerifyError
from xnorhw.lower import lower
from xnorhw.plan.engine import engine_network
from xnorhw.plan.engine_model import EngineLayer, EngineNetwork, Format, LevelsStep, PoolStep, ProductStep
from xnorhw.sim.engine_run import EngineRun, compile_engine, engine_paths, operations, run_engine, run_program

GRAPHS, ARM_GRAPHS, NETWORKS = 30, 10, 6
FAST = ("OPTIMIZE=-O0",)
Edit = Callable[[str], str]


def assert_equal(run: EngineRun, expected: RandomGraph) -> None:
    """Every tensor, and every score as bits."""
    assert run.tensors.keys() == expected.tensors.keys()
    for name, values in expected.tensors.items():
        np.testing.assert_array_equal(run.tensors[name], values, err_msg=f"{name} on {run.path}")
    assert run.scores.shape == expected.scores.shape
    np.testing.assert_array_equal(run.scores.view(np.uint32), expected.scores.view(np.uint32))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> EngineLibrary:
    NATIVE.skip_unless_here()
    return EngineLibrary(tmp_path_factory.mktemp("engine"))


@pytest.mark.parametrize("first", range(0, GRAPHS, 10))
def test_random_graphs_on_every_path(library: EngineLibrary, first: int) -> None:
    for seed in range(first, first + 10):
        drawn = random_graph(seed)
        program = library.program(engine.engine_files(drawn.graph))
        paths = engine_paths(program)
        assert paths[-1] == "plain"
        for path in paths:
            run = run_program(program, drawn.graph, drawn.codes, library.folder, path=path)
            assert run.path == path
            assert_equal(run, drawn)


@pytest.mark.long
@pytest.mark.parametrize("first", range(GRAPHS, 600, 40))
def test_many_more_random_graphs(library: EngineLibrary, first: int) -> None:
    for seed in range(first, first + 40):
        drawn = random_graph(seed)
        program = library.program(engine.engine_files(drawn.graph))
        for path in engine_paths(program):
            assert_equal(run_program(program, drawn.graph, drawn.codes, library.folder, path=path), drawn)


@pytest.mark.parametrize("target", [ARM, AARCH64], ids=lambda target: target.name)
def test_random_graphs_on_arm(target: Target, tmp_path: Path) -> None:
    target.skip_unless_here()
    library = EngineLibrary(tmp_path, target)
    for seed in range(ARM_GRAPHS):
        drawn = random_graph(seed)
        program = library.program(engine.engine_files(drawn.graph))
        assert engine_paths(program, target.runner) == ("neon", "plain")
        for path in ("neon", "plain"):
            run = run_program(program, drawn.graph, drawn.codes, tmp_path, path=path, runner=target.runner)
            assert run.path == path
            assert_equal(run, drawn)


def test_an_arm_without_neon(tmp_path: Path) -> None:
    """The other sources hold no such instruction, so the choice is made before one is met."""
    ARM.skip_unless_here()
    drawn = random_graph(0)
    program = compile_engine(engine.engine_files(drawn.graph), tmp_path, compiler=ARM.compiler[0])
    cpu, path = ("qemu-arm", "-cpu", "cortex-a9,neon={}", *ARM.runner[3:]), {"on": "neon", "off": "plain"}
    for there, chosen in path.items():
        runner = [word.format(there) for word in cpu]
        run = run_program(program, drawn.graph, drawn.codes, tmp_path, runner=runner)
        assert run.path == chosen
        assert_equal(run, drawn)
    with pytest.raises(ToolError, match="lacks the instructions"):
        run_program(program, drawn.graph, drawn.codes, tmp_path, runner=runner, path="neon")


def test_random_torch_networks(library: EngineLibrary) -> None:
    tested = 0
    for seed in range(NETWORKS):
        network = build(draw_spec(SeededChoices(seed)))
        if network is None:
            continue
        float_graph = trace(network.net, network.input)
        graph = lower(float_graph, TorchEvaluator(float_graph), samples=network.x)
        codes = codes_of(graph, network.x)
        tensors = golden.run(graph, codes)
        expected = RandomGraph(graph, codes, tensors, golden.scores(graph, tensors[graph.output]))
        program = library.program(engine.engine_files(graph))
        assert_equal(run_program(program, graph, codes, library.folder), expected)
        tested += 1
    assert tested >= NETWORKS - 2


def _kinds(network: EngineNetwork, layer: EngineLayer) -> list[str]:
    step = layer.step
    kinds = [type(step).__name__, network.tensors[layer.output].format.name]
    if isinstance(step, ProductStep):
        kinds += ["fused"] * (step.sign is not None) + ["groups"] * (step.groups > 1)
        kinds += ["codes"] * (step.terms[0].lanes is not None) + ["terms"] * (len(step.terms) > 1)
        kinds += ["pads"] * step.geometry.pads.any() + ["pad value"] * (step.pad_value != 0)
        if step.sign is not None:
            kinds += ["positions"] * (len(step.sign.at) > 1) + ["flip"] * (step.sign.flip is not None)
    if isinstance(step, PoolStep):
        kinds += ["minimum"] * (step.minimum is not None)
    if isinstance(step, LevelsStep):
        kinds += ["levels"] * (step.levels > 1)
    return kinds


def test_the_random_graphs_reach_every_part_of_the_engine() -> None:
    seen: Counter[str] = Counter()
    for seed in range(GRAPHS):
        graph = random_graph(seed, frames=2).graph
        network = engine_network(graph)
        for layer in network.layers:
            seen.update(_kinds(network, layer))
        seen.update(type(op).__name__ for op in graph.host)
        seen["vector"] += any(not tensor.golden for tensor in network.tensors)
    steps = ("LookupStep", "ProductStep", "FullStep", "SignStep", "LevelsStep", "PoolStep", "ReshapeStep")
    parts = (
        "fused",
        "groups",
        "codes",
        "terms",
        "pads",
        "pad value",
        "positions",
        "flip",
        "minimum",
        "levels",
    )
    hosts = ("HostAffine", "HostBatchNorm", "HostClamp", "HostFull")
    formats = (Format.BITS.name, Format.U8.name, Format.I32.name, Format.I64.name)
    assert all(seen[kind] for kind in (*steps, *parts, *hosts, *formats, "vector")), seen


# --- one network, through the build's own Makefile -----------------------------------------------


@pytest.fixture(scope="module")
def one() -> RandomGraph:
    """A padded layer whose sign is fused, a pool, and scores behind it."""
    return next(
        drawn
        for drawn in map(random_graph, range(200))
        if any(
            isinstance(layer.step, ProductStep)
            and layer.step.sign is not None
            and layer.step.geometry.pads.any()
            and layer.step.terms[0].bits is not None
            for layer in engine_network(drawn.graph).layers
        )
        and drawn.graph.host
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    NATIVE.skip_unless_here()
    return tmp_path_factory.mktemp("work folder")


def run(one: RandomGraph, work: Path, **options: Any) -> EngineRun:
    return run_engine(engine.engine_files(one.graph), one.graph, one.codes, work, **options)


def test_the_makefile_makes_the_same(one: RandomGraph, work: Path) -> None:
    assert_equal(run(one, work), one)


def test_threads_change_nothing(one: RandomGraph, work: Path) -> None:
    assert_equal(run(one, work, arguments=("THREADS=1",), options=("--threads", "3")), one)


def test_a_library_without_threads_says_so(one: RandomGraph, work: Path) -> None:
    with pytest.raises(VerifyError, match="threads could not be started"):
        run(one, work, options=("--threads", "2"))


def test_frames_are_run_in_parts_where_their_trace_is_large(
    one: RandomGraph, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xnorhw.sim.engine_run._TRACE_BYTES", 1)
    assert_equal(run(one, work), one)


def test_without_a_trace_there_are_scores_alone(one: RandomGraph, work: Path) -> None:
    untraced = run(one, work, trace=False, options=("--repeat", "3"))
    assert not untraced.tensors and untraced.milliseconds > 0
    np.testing.assert_array_equal(untraced.scores.view(np.uint32), one.scores.view(np.uint32))


def test_what_was_compiled_is_found_again(
    one: RandomGraph, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = engine.engine_files(one.graph)
    made = compile_engine(files, work)
    monkeypatch.setattr("xnorhw.sim.engine_run._made", lambda *arguments: pytest.fail("compiled again"))
    assert compile_engine(files, work) == made
    with pytest.raises(pytest.fail.Exception, match="compiled again"):
        compile_engine({**files, "host/engine/xh_run.c": "/* edited */\n"}, work)


def edited(one: RandomGraph, edit: Edit, name: str = "host/engine/accel_network.c") -> dict[str, str]:
    files = engine.engine_files(one.graph)
    changed = edit(files[name])
    assert changed != files[name]
    return {**files, name: changed}


def _differs(run: EngineRun, one: RandomGraph) -> list[str]:
    return [n for n, values in one.tensors.items() if not np.array_equal(run.tensors[n], values)]


def test_a_wrong_pad_is_seen(one: RandomGraph, work: Path) -> None:
    pads = (".pad_value = 0", ".pad_value = 1", ".pad_value = -1")
    files = edited(one, partial(_replaced, cycle=pads))
    assert _differs(run_engine(files, one.graph, one.codes, work, arguments=FAST), one)


def _replaced(text: str, cycle: tuple[str, ...]) -> str:
    """``text`` with the first of ``cycle`` that is in it replaced by the one behind."""
    for old, new in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
        if old in text:
            return text.replace(old, new)
    raise AssertionError(f"none of {cycle}")


def test_a_bit_too_many_in_the_packing_is_seen(work: Path) -> None:
    bipolar = next(g for g in map(random_graph, range(200)) if g.graph.input.encoding == "bipolar")
    edit = partial(_replaced, cycle=("uint32_t bits = 0;", "uint32_t bits = 1;"))
    files = edited(bipolar, edit, "host/engine/xh_run.c")
    assert _differs(run_engine(files, bipolar.graph, bipolar.codes, work, arguments=FAST), bipolar)


def test_another_networks_tensors_are_refused(one: RandomGraph, work: Path) -> None:
    files = edited(one, lambda text: text.replace("LAYERS =", "LAYERS = -1 +", 1))
    with pytest.raises(VerifyError, match="not of this network"):
        run_engine(files, one.graph, one.codes, work, arguments=FAST)


def test_a_crash_is_an_error(one: RandomGraph, work: Path) -> None:
    crash = edited(
        one,
        lambda text: text.replace("{\n    options chosen", "{\n    __builtin_trap();\n    options chosen"),
        "host/engine_main.c",
    )
    with pytest.raises(VerifyError, match="ended by signal"):
        run_engine(crash, one.graph, one.codes, work, arguments=FAST)


def test_a_program_that_does_not_end_is_an_error(one: RandomGraph, work: Path) -> None:
    endless = edited(
        one,
        lambda text: text.replace("{\n    options chosen", "{\n    for (;;)\n        ;\n    options chosen"),
        "host/engine_main.c",
    )
    with pytest.raises(VerifyError, match="was ended after 0 s") as caught:
        run_engine(endless, one.graph, one.codes, work, arguments=FAST, time_limit_s=0.1)
    assert "time_limit_s" in caught.value.remedy and "\n" not in str(caught.value)


def test_the_time_limit_grows_with_the_work(
    one: RandomGraph, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames and repetitions count; what they take lies far below."""
    seen: list[float] = []
    start = subprocess.run

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(options["timeout"])
        return start(*arguments, **options)

    program = compile_engine(engine.engine_files(one.graph), work)
    monkeypatch.setattr("xnorhw.sim.engine_run.subprocess.run", watched)
    codes = np.concatenate([one.codes] * 3)
    for given, options in ((one.codes, ()), (codes, ()), (one.codes, ("--repeat", "30"))):
        run_program(program, one.graph, given, work, trace=False, options=options)
    base = seen[0] - (seen[1] - seen[0]) / 2
    assert base == pytest.approx(60) and seen[2] - base == pytest.approx(30 * (seen[0] - base))
    count = sum(int(np.prod(one.tensors[node.output.name].shape[1:])) for node in one.graph.nodes)
    assert operations(engine_network(one.graph)) >= count > 0


def test_sources_that_do_not_compile(one: RandomGraph, work: Path) -> None:
    broken = edited(one, lambda text: text + "nonsense;\n")
    with pytest.raises(ToolError, match="could not be compiled") as caught:
        run_engine(broken, one.graph, one.codes, work, arguments=FAST)
    assert "error:" in caught.value.reason and "-Wall" not in caught.value.reason


def test_a_missing_compiler(one: RandomGraph, work: Path) -> None:
    with pytest.raises(ToolError, match="nowhere-gcc is missing"):
        run(one, work, compiler="nowhere-gcc")


def test_a_missing_make(
    one: RandomGraph, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="make is missing") as caught:
        run(one, work)
    assert "apt install make" in caught.value.remedy


@pytest.mark.parametrize("path", ["neon", "sse9"])
def test_a_path_that_is_not_there(one: RandomGraph, work: Path, path: str) -> None:
    with pytest.raises(ToolError, match="no such path in this library") as caught:
        run(one, work, path=path)
    assert "XH_PATH" in caught.value.remedy


def test_instructions_that_the_processor_lacks(one: RandomGraph, work: Path) -> None:
    files = edited(one, _lacking, "host/engine/xh_avx512.c")
    program = compile_engine(files, work, arguments=FAST)
    assert "avx512" not in engine_paths(program)
    with pytest.raises(ToolError, match="lacks the instructions"):
        run_engine(files, one.graph, one.codes, work, path="avx512", arguments=FAST)
    assert_equal(run_engine(files, one.graph, one.codes, work, arguments=FAST), one)


def _lacking(text: str) -> str:
    """The AVX-512 path of a processor that has none of it."""
    return text.replace('__builtin_cpu_supports("avx512f")', "0")


def test_the_network_is_found_in_a_folder_with_a_space(one: RandomGraph, work: Path) -> None:
    assert " " in work.name
    program = compile_engine(engine.engine_files(one.graph), work)
    assert os.stat(program).st_mode & stat.S_IXUSR


def test_no_input_that_is_none_of_the_networks(one: RandomGraph, work: Path) -> None:
    narrow = next(
        g
        for g in map(random_graph, range(200))
        if g.graph.input.bits in (2, 4) and g.graph.input.encoding == "code"
    )
    wrong = narrow.codes.copy()
    wrong[1, 0, 0, 0] = 100
    with pytest.raises(ModelError, match="100, outside of the declared type"):
        run_program(work / "never started", narrow.graph, wrong, work)
