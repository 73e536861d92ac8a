"""One command a verb."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from xnorhw import __version__
from xnorhw.cli.output import Progress, show, synthesis_text, table, verdict_text

__all__ = ["DEBUG", "cli"]

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)

DEBUG = "--debug"


def _options(command: F) -> F:
    """What every command takes."""
    command = click.option(DEBUG, is_flag=True, expose_value=False, help="Show a traceback with an error.")(
        command
    )
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Trained binary neural networks to proven, bit-exact FPGA accelerators.

    \b
    A first run, from real data to a proven accelerator:
        xnorhw train digits -o digits.pt
        xnorhw build --board pynq-z2 digits.pt -o out
        xnorhw verify out
    """


@cli.command()
@click.argument("model", type=PATH)
@_options
def summary(model: Path, as_json: bool) -> None:
    """Layers, shapes, precisions, memory and multiply-accumulates of MODEL.

    \b
    Example:
        xnorhw summary digits.pt
    """
    from xnorhw import load
    from xnorhw.emit.summary import summary_json, summary_text

    found = load(model).summary()
    show(as_json, summary_json(found), summary_text(found))


@cli.command()
@click.argument("model", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="The model file to write.")
@click.option(
    "--frac",
    type=click.IntRange(0, 30),
    metavar="BITS",
    help="Fraction bits of the weights; what each layer says if left out.",
)
@click.option(
    "--full-bits",
    type=click.IntRange(2, 24),
    metavar="BITS",
    help="Bits of a weight, as fine as they allow; with 8 a layer can stand on the chip.",
)
@_options
def snap(model: Path, out: Path, frac: int | None, full_bits: int | None, as_json: bool) -> None:
    """Round the full-precision weights of MODEL to multiples of 2^-BITS, which sum exactly.

    Prints the accuracy before and after, on the samples that the file holds.

    \b
    Examples:
        xnorhw snap trained.pt -o model.pt --frac 10
        xnorhw snap trained.pt -o model.pt --full-bits 8
    """
    from xnorhw.frontends.snapping import snap_file

    if frac is not None and full_bits is not None:
        raise click.UsageError("--frac and --full-bits exclude each other: each sets the other")
    report = snap_file(model, out, frac, full_bits)
    tree = {**vars(report), "layers": [vars(layer) for layer in report.layers]}
    show(as_json, tree, f"{report}\nsaved as {out}")


@cli.command()
@click.argument("model", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="The model file to write.")
@click.option(
    "--bits", type=click.IntRange(1, 8), default=8, show_default=True, help="Bits of an activation."
)
@click.option(
    "--data",
    type=PATH,
    metavar="X.NPY|DIR",
    help="Inputs to look at; the samples that the file holds if left out.",
)
@click.option("--labels", type=PATH, metavar="Y.NPY", help="Their classes [N]; gives accuracies.")
@click.option("--power-of-two", is_flag=True, help="Scales that are powers of two.")
@_options
def calibrate(
    model: Path,
    out: Path,
    bits: int,
    data: Path | None,
    labels: Path | None,
    power_of_two: bool,
    as_json: bool,
) -> None:
    """Turn the real ReLUs between binary-weight layers of MODEL into integer codes.

    Prints each activation's scale, and how many decisions that changed.

    
    Examples:
        xnorhw calibrate trained.pt -o model.pt
        xnorhw calibrate trained.pt --data images.npy --labels classes.npy --bits 4 -o model.pt
    """
    from xnorhw import load
    from xnorhw.files import read_array, read_frames
    from xnorhw.frontends.calibrating import calibrate_file

    if labels is not None and data is None:
        raise click.UsageError("--labels goes with --data")
    values = None if data is None else read_frames(data, load(model).graph.input)
    classes = None if labels is None else read_array(labels)
    report = calibrate_file(model, out, bits, values, classes, power_of_two=power_of_two)
    tree = {**vars(report), "activations": [vars(a) for a in report.activations]}
    show(as_json, tree, f"{report}\nsaved as {out}")


def _planning(command: F) -> F:
    """The options that choose an accelerator."""
    for option in (
        click.option(
            "--clock", "clock_mhz", type=float, metavar="MHZ", help="Clock; the board's own if left out."
        ),
        click.option("--folding", type=PATH, metavar="FILE", help="Folding as JSON, as a build writes it."),
        click.option(
            "--ends",
            type=click.Choice(["auto", "host", "chip"]),
            default="auto",
            show_default=True,
            help="Where full-precision layers run: on the chip (weights of 8 bits or fewer), on the host, "
            "or where the planner puts them.",
        ),
        click.option(
            "--for",
            "goal",
            type=click.Choice(["latency", "area"]),
            help="What is left of the board buys a single frame's latency, or nothing, and the design is the "
            "smallest of its rate. Without --target-fps latency, with it area.",
        ),
        click.option("--target-fps", type=float, metavar="N", help="A design that reaches this."),
        click.option(
            "--board", required=True, metavar="NAME", help="One of `xnorhw boards`; to build: cpu, too."
        ),
    ):
        command = option(command)
    return command


def _one_goal(target_fps: float | None, folding: Path | None, goal: str | None) -> None:
    if goal is not None and folding is not None:
        raise click.UsageError("--for and --folding exclude each other: a folding leaves nothing to choose")
    if target_fps is not None and folding is not None:
        raise click.UsageError("--target-fps and --folding exclude each other: a folding fixes the speed")


@cli.command()
@click.argument("model", type=PATH)
@_planning
@click.option(
    "--sweep", is_flag=True, help="A table of frame rates and what the smallest design of each takes."
)
@_options
def estimate(
    model: Path,
    board: str,
    target_fps: float | None,
    folding: Path | None,
    clock_mhz: float | None,
    ends: Any,
    goal: Any,
    sweep: bool,
    as_json: bool,
) -> None:
    """What MODEL would cost and reach on a board; writes no files.

    \b
    Examples:
        xnorhw estimate --board pynq-z2 digits.pt
        xnorhw estimate --board kv260 --target-fps 100000 digits.pt
        xnorhw estimate --board pynq-z2 --sweep digits.pt
    """
    from xnorhw import load
    from xnorhw.emit.report import report_text
    from xnorhw.emit.trade import trade_json, trade_text

    _one_goal(target_fps, folding, goal)
    loaded = load(model)
    if sweep:
        if (target_fps, folding, goal) != (None, None, None):
            raise click.UsageError("--sweep looks at all rates: leave --target-fps, --folding and --for out")
        trade = loaded.trade_off(board, clock_mhz=clock_mhz, ends=ends)
        show(as_json, trade_json(trade), trade_text(trade))
        return
    plan = loaded.plan(
        board, target_fps=target_fps, folding=folding, clock_mhz=clock_mhz, ends=ends, goal=goal
    )
    report = loaded.estimate(plan)
    show(as_json, report.to_json(), report_text(report))


@cli.command()
@click.argument("model", type=PATH)
@_planning
@click.option("-o", "--out", type=PATH, default=Path("out"), show_default=True, help="The folder to write.")
@click.option(
    "--verify",
    "level",
    type=click.Choice(["none", "golden", "full"]),
    default="golden",
    show_default=True,
    help="Which links of the chain to run on the result.",
)
@click.option(
    "--frames", type=click.IntRange(1), default=16, show_default=True, help="Frames to verify with."
)
@click.option(
    "--synth",
    type=click.Choice(["vitis", "vivado", "yosys"]),
    help="Run a tool on the result: C synthesis, the bitstream (minutes to hours), or yosys' count of the "
    "RTL's LUTs, flip-flops and memories (minutes).",
)
@click.option(
    "--trim-fifos",
    is_flag=True,
    help="Simulate the design and make its rings and FIFOs as short as its rate allows. Minutes.",
)
@click.option(
    "--approximate",
    is_flag=True,
    help="Round full-precision weights that are not snapped; the report begins with what that changed.",
)
@click.option("--force", is_flag=True, help="Replace a build even where its files were edited.")
@_options
def build(
    model: Path,
    board: str,
    target_fps: float | None,
    folding: Path | None,
    clock_mhz: float | None,
    ends: Any,
    goal: Any,
    out: Path,
    level: Any,
    frames: int,
    synth: Any,
    trim_fifos: bool,
    approximate: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Turn MODEL into an accelerator: RTL, memories, benches, report.  The board "cpu" stands for
    none: the C for a CPU alone, for a network that fits no board.

    \b
    Examples:
        xnorhw build --board pynq-z2 digits.pt -o out
        xnorhw build --board pynq-z2 --target-fps 50000 --verify full digits.pt
        xnorhw build --board pynq-z2 --folding out/folding.json digits.pt -o out
        xnorhw build --board pynq-z2 --ends chip digits.pt -o out
        xnorhw build --board pynq-z2 --synth yosys digits.pt -o out
        xnorhw build --board cpu resnet.pt -o out
    """
    from xnorhw import load
    from xnorhw.emit.cpu_report import CpuReport
    from xnorhw.emit.report import report_text
    from xnorhw.synth import read_synthesis

    _one_goal(target_fps, folding, goal)
    with Progress() as progress:
        built = load(model).build(
            board,
            out,
            target_fps=target_fps,
            folding=folding,
            clock_mhz=clock_mhz,
            ends=ends,
            goal=goal,
            verify=level,
            synth=synth,
            frames=frames,
            trim_fifos=trim_fifos,
            approximate=approximate,
            force=force,
            progress=progress,
        )
    verdict = built.verdict
    figures = None if built.for_cpu else read_synthesis(built.folder)
    report = built.cpu_report if built.for_cpu else built.report
    tree = {
        "folder": str(out),
        "report": report.to_json(),
        "verdict": None if verdict is None else verdict.to_json(),
        "synthesis": figures,
    }
    shown = report.text() if isinstance(report, CpuReport) else report_text(report)
    text = shown + ("" if verdict is None else f"\n\n{verdict_text(verdict, headed=False)}")
    if verdict is not None and verdict.approximation is not None:
        text = f"{verdict.approximation}\n\n{text}"
    text += "" if figures is None else f"\n\n{synthesis_text(figures)}"
    runs = "the C" if built.for_cpu else "the RTL"
    more = "" if level == "full" else f"; `xnorhw verify {out}` runs {runs}, too"
    show(as_json, tree, f"{text}\n\nThe whole report: {out / 'report.html'}{more}")


@cli.command()
@click.argument("folder", type=PATH, metavar="OUT")
@click.option("--data", type=PATH, metavar="X.NPY|DIR", help="Input values [N, ...], or a folder of frames.")
@click.option("--labels", type=PATH, metavar="Y.NPY", help="Their classes [N]; gives accuracies.")
@click.option(
    "--frames", type=click.IntRange(1), metavar="N", help="How many; those of the build if left out."
)
@click.option("--waves", is_flag=True, help="Leave the signals as FST in OUT/work.")
@_options
def verify(
    folder: Path, data: Path | None, labels: Path | None, frames: int | None, waves: bool, as_json: bool
) -> None:
    """Prove the build OUT: every form against its reference, on every tensor.

    \b
    Examples:
        xnorhw verify out
        xnorhw verify out --frames 100 --waves
        xnorhw verify out --data images.npy --labels classes.npy
    """
    from xnorhw.api import Build
    from xnorhw.files import read_array, read_frames

    if labels is not None and data is None:
        raise click.UsageError("--labels goes with --data")
    built = Build(folder)
    values = None if data is None else read_frames(data, built.graph.input)
    classes = None if labels is None else read_array(labels)
    with Progress() as progress:
        verdict = built.compare(data=values, labels=classes, frames=frames, waves=waves, progress=progress)
    show(as_json, verdict.to_json(), verdict_text(verdict))
    verdict.require()


@cli.command()
@click.argument("folder", type=PATH, metavar="OUT")
@click.argument("data", type=PATH, metavar="INPUT")
@click.option(
    "--on",
    type=click.Choice(["device", "golden", "c", "hls", "rtl"]),
    help="The simulated device, driven through its registers and its DMA; the integer model; the C "
    "for this CPU; the C++ for Vitis HLS; the RTL by itself.  [default: device, or c where the build "
    "is for the CPU alone]",
)
@_options
def run(folder: Path, data: Path, on: Any, as_json: bool) -> None:
    """Class scores of the build OUT for INPUT: an array (.npy) of one frame or more, or an image.

    \b
    Examples:
        xnorhw run out digits.npy
        xnorhw run out seven.png --on c
    """
    from xnorhw.api import Build
    from xnorhw.files import read_frames

    built = Build(folder)
    on = on or ("c" if built.for_cpu else "device")
    values = read_frames(data, built.graph.input)
    with warnings.catch_warnings(record=True) as noticed, Progress() as progress:
        warnings.simplefilter("always", UserWarning)
        scores = built.predict(values, on=on, progress=progress)
    for warning in noticed:
        click.echo(f"xnorhw: warning: {warning.message}", err=True)
    rows = scores.reshape(len(scores), -1)
    tree = [{"class": int(row.argmax()), "scores": [float(v) for v in row]} for row in rows]
    lines = [
        f"frame {i}: class {row.argmax()}  scores {' '.join(f'{v:.6g}' for v in row)}"
        for i, row in enumerate(rows)
    ]
    show(as_json, {"on": on, "frames": tree}, "\n".join(lines))


@cli.command()
@_options
def boards(as_json: bool) -> None:
    """The boards that can be built for.

    \b
    Example:
        xnorhw boards
    """
    from xnorhw.board import board_names, load_board

    found = [load_board(name) for name in board_names()]
    rows = [("board", "", "part", "MHz", "LUT", "BRAM36")]
    rows += [
        (b.name, b.title, b.part, f"{b.clock_mhz:g}", f"{b.budget.lut:,.0f}", f"{b.budget.bram36:g}")
        for b in found
    ]
    tree = [
        {"name": b.name, "title": b.title, "part": b.part, "clock_mhz": b.clock_mhz, "budget": vars(b.budget)}
        for b in found
    ]
    show(as_json, tree, table(rows, left=3))


@cli.command()
@_options
def doctor(as_json: bool) -> None:
    """Which tools are there, which are missing, what each is for.

    \b
    Example:
        xnorhw doctor
    """
    from xnorhw.doctor import examine

    found = examine()
    rows = [("tool", "found", "for", "to get it")]
    rows += [(t.name, t.found or "missing", t.purpose, "" if t.found else t.remedy) for t in found]
    show(as_json, [vars(t) for t in found], table(rows, left=4))
