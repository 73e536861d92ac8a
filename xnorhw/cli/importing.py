"""``xnorhw import``: a trained file of another project -> a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xnorhw.cli.output import show, table

if TYPE_CHECKING:
    from xnorhw.frontends.foreign.models import ForeignModel

__all__ = ["import_"]

PATH = click.Path(path_type=Path)


@click.command("import")
@click.argument("file", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="The model file to write.")
@click.option("--from", "kind", metavar="KIND", help="Whose file it is; detected and shown if left out.")
@click.option(
    "--sign0",
    type=click.IntRange(-1, 1),
    metavar="-1|0|+1",
    help="What the network's sign makes of exactly 0.  [default: as the kind's project has it]",
)
@click.option(
    "--pad",
    type=click.IntRange(-1, 1),
    metavar="-1|0|+1",
    help="What the padded taps of binary convolutions read.  [default: as the kind's project has it]",
)
@click.option(
    "--eps", type=float, metavar="E", help="Of all batch norms.  [default: as the kind's project has it]"
)
@click.option(
    "--no-recentre",
    "recentre",
    flag_value=False,
    default=None,
    help="Take latent weights as they are, not centred and clamped once more.",
)
@click.option(
    "--input",
    "fed",
    metavar="SHAPE[,...]",
    help="What the network was fed: 1x28x28,mean=0.1307,std=0.3081 for normalised pixels, "
    "784,bits=8,signed,scale=1/128 for codes, 784,bipolar for -1 and +1.",
)
@click.option(
    "--arch", metavar="NAME", help="Which of the project's networks; found by its layers if left out."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback with an error.")
def import_(
    file: Path,
    out: Path,
    kind: str | None,
    sign0: int | None,
    pad: int | None,
    eps: float | None,
    recentre: bool | None,
    fed: str | None,
    arch: str | None,
    as_json: bool,
) -> None:
    """Make a model file of FILE, a trained network of another project.

    Prints what was decided on the way, and why.  What the file does not say and no project fixes is
    asked for, never guessed.  Nothing in FILE is run.

    \b
    Examples:
        xnorhw import LeNet_5.best.pth.tar -o lenet5.pt --input 1x28x28,mean=0.1307,std=0.3081
        xnorhw import tfc_w1a1.onnx -o tfc.pt
    """
    from xnorhw.frontends.foreign import Options
    from xnorhw.frontends.foreign.models import import_file

    if eps is not None and not 0 <= eps < 1:
        raise click.UsageError(f"--eps is a small number, not {eps:g}")
    made = import_file(file, out, kind, Options(sign0, pad, eps, recentre, fed, arch))
    show(as_json, _tree(made, out), _text(made, out))


def _tree(made: ForeignModel, out: Path) -> dict[str, Any]:
    return {
        "kind": made.kind.name,
        "model": str(out),
        "decisions": [{"what": d.what, "value": d.value, "why": d.why} for d in made.decisions],
    }


def _text(made: ForeignModel, out: Path) -> str:
    rows = [("decided", "", "because")]
    rows += [(d.what, d.value, d.why) for d in made.decisions]
    layers = len(made.file.graph.nodes)
    return f"{table(rows, left=3)}\n\n{out}: {layers} operations"
