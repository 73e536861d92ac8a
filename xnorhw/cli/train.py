"""``xnorhw train NET``: a network of the zoo, a data set, a recipe."""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xnorhw.cli.output import show
from xnorhw.ir.errors import ToolError, XnorhwError

if TYPE_CHECKING:
    from torch import nn

    from xnorhw.nn.data import Data
    from xnorhw.nn.train import Epoch, Recipe, Result, Teacher
    from xnorhw.nn.zoo import Entry

__all__ = ["train"]

PATH = click.Path(path_type=Path)
SAMPLES = 16


class _Networks(click.Group):
    """A command for each network, made when it is asked for: to list the zoo takes torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["digits"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return None if cmd_name.startswith("-") else _command(cmd_name)


@click.group(cls=_Networks, subcommand_metavar="NET [OPTIONS]")
def train() -> None:
    """Train a network of `xnorhw zoo` by a recipe, and save it for `build`.

    \b
    Examples:
        xnorhw train digits -o digits.pt
        xnorhw train lenet5 --data mnist --data-dir data -o lenet5.pt
        xnorhw train nao-xnor --data robots --recipe xnor --epochs 20 -o robot.pt
        xnorhw train lenet5 -o lenet5.pt --resume
        xnorhw train digits-float -o teacher.pt
        xnorhw train digits --recipe distill --teacher teacher.pt -o student.pt
        torchrun --nproc-per-node 2 -m xnorhw train bnn-cifar10 --data cifar10 -o vgg.pt
    """


def _command(name: str) -> click.Command:
    def run(**options: Any) -> None:
        _train(name, **options)

    about = (
        "A small convolutional network on scikit-learn's handwritten digits (8 x 8 pixels)."
        if name == "digits"
        else f"Train the network {name} of `xnorhw zoo`."
    )
    example = (
        "xnorhw train digits -o digits.pt --seed 1"
        if name == "digits"
        else f"xnorhw train {name} -o {name}.pt"
    )
    return click.Command(
        name, callback=run, params=_options(name), help=f"{about}\n\n\b\nExample:\n    {example}"
    )


def _options(name: str) -> list[click.Parameter]:
    whole = click.IntRange(1)
    seeds = click.IntRange(0, 2**32 - 1)
    out = "model.pt" if name == "digits" else f"{name}.pt"
    return [
        click.Option(
            ["-o", "--out"], type=PATH, default=Path(out), show_default=True, help="The model file."
        ),
        click.Option(["--seed"], type=seeds, default=0, show_default=True, help="Seed of everything random."),
        click.Option(
            ["--epochs"],
            type=whole,
            help="Passes over the data; the recipe's number if left out, else its "
            "schedule is stretched or shrunk.",
        ),
        click.Option(
            ["--data"],
            metavar="NAME",
            help="mnist, cifar10, svhn, digits, robots, scenes, imagefolder:DIR; else the network's own.",
        ),
        click.Option(
            ["--data-dir"],
            type=PATH,
            default=Path("data"),
            show_default=True,
            help="Where mnist, cifar10 and svhn lie.",
        ),
        click.Option(["--download"], is_flag=True, help="Fetch the data set if it does not lie there."),
        click.Option(
            ["--recipe"],
            metavar="NAME",
            help="bnn, xnor, xnor-imagenet, bwn, binaryconnect, dorefa, abc, distill or plain.",
        ),
        click.Option(
            ["--batch"], type=whole, help="Pictures a step, over all processes; the recipe's if left out."
        ),
        click.Option(
            ["--learning-rate"],
            type=click.FloatRange(0, min_open=True),
            help="At the start; the recipe's if left out.",
        ),
        click.Option(
            ["--teacher"], type=PATH, help="What to distill from: a model file, or a checkpoint of train."
        ),
        click.Option(
            ["--teacher-net"],
            metavar="NAME",
            help="The network that --teacher, a bare state dict, belongs to.",
        ),
        click.Option(
            ["--run", "folder"],
            type=PATH,
            metavar="DIR",
            help="For checkpoint, log.csv and curves.png; OUT with .train in place of .pt if left out.",
        ),
        click.Option(["--resume"], is_flag=True, help="Go on from the last epoch's checkpoint."),
        click.Option(
            ["--precision"],
            type=click.Choice(["float32", "bf16", "fp16"]),
            default="float32",
            show_default=True,
            help="Of products in training: mixed precision with bf16, or fp16 on a GPU.",
        ),
        click.Option(
            ["--device"], metavar="NAME", help="cpu or cuda; under torchrun each process takes its own GPU."
        ),
        click.Option(
            ["--shards"],
            type=whole,
            help="Parts of a batch whose gradients are summed; one a process if left out.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON for machines."),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="Show a traceback with an error."),
    ]


_OWN = ("data", "recipe", "batch", "learning_rate", "teacher", "teacher_net", "folder", "device", "shards")


def _train(name: str, *, out: Path, seed: int, epochs: int | None, as_json: bool, **options: Any) -> None:
    """The digits alone have a recipe of their own, as fast as their tests need it."""
    chosen = (
        any(options[o] is not None for o in _OWN) or options["resume"] or options["precision"] != "float32"
    )
    if name == "digits" and not chosen:
        _train_digits(out, seed, epochs, as_json)
        return
    _check_out(out)
    _train_network(name, out, seed, epochs, as_json, **options)


def _check_out(out: Path) -> None:
    """What would be found only after the training."""
    folder = out.resolve().parent
    if not folder.is_dir():
        raise XnorhwError("its folder does not exist", module=str(out), remedy="Make the folder first")
    if out.is_dir():
        raise XnorhwError("is a folder", module=str(out), remedy="Give the model file a name: -o model.pt")
    if not os.access(folder, os.W_OK):
        raise XnorhwError(
            "its folder cannot be written to", module=str(out), remedy="Choose another place for it"
        )


def _train_digits(out: Path, seed: int, epochs: int | None, as_json: bool) -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise ToolError(
            "the digits come with scikit-learn, which is not installed",
            module="train digits",
            remedy="Run pip install 'xnorhw[train]'",
        ) from None
    from xnorhw import nn, save
    from xnorhw.ir.float_graph import Input

    _check_out(out)
    total = epochs or nn.DIGITS_RECIPE.epochs
    with click.progressbar(length=total, label="training", file=sys.stderr) as bar:
        trained = nn.train_digits(seed=seed, epochs=epochs, progress=lambda _: bar.update(1))
    shape = tuple(trained.samples.shape[1:])
    save(trained.net, out, Input(shape), samples=trained.samples, labels=trained.labels)
    text = f"test accuracy {100 * trained.accuracy:.2f} % on {len(trained.labels)} digits; saved as {out}"
    show(as_json, {"accuracy": trained.accuracy, "tested": len(trained.labels), "file": str(out)}, text)


def _train_network(
    name: str,
    out: Path,
    seed: int,
    epochs: int | None,
    as_json: bool,
    *,
    data: str | None,
    data_dir: Path,
    download: bool,
    recipe: str | None,
    batch: int | None,
    learning_rate: float | None,
    teacher: Path | None,
    teacher_net: str | None,
    folder: Path | None,
    resume: bool,
    precision: Any,
    device: str | None,
    shards: int | None,
) -> None:
    from xnorhw.nn import train as training
    from xnorhw.nn import zoo
    from xnorhw.nn.train.start import distillation, make_run, picture_data, run_folder

    entry = zoo.entry(name.removesuffix(zoo.PLAIN))
    if (teacher_net is not None) and teacher is None:
        raise click.UsageError("--teacher-net goes with --teacher")
    chosen = _recipe(recipe or ("distill" if teacher is not None else None) or _usual(entry, name))
    numbers = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate}
    if learning_rate is not None and not math.isfinite(learning_rate):
        raise click.UsageError(f"--learning-rate is a finite number, not {learning_rate}")
    for key, value in numbers.items():
        if value is not None:
            chosen = _changed(chosen, key, value)
    place = out.with_suffix(".train") if folder is None else folder
    run = make_run(place, resume, seed, precision, device, shards)
    try:
        pictures = picture_data(entry, data, data_dir, download, seed)
        run_folder(place, resume, run.group.leads)
        taught = None if teacher is None else distillation(teacher, teacher_net, run.device, _model_file)
        count = len(pictures.classes)
        result = _told(
            run.group.leads,
            lambda told, finished: training.train(
                lambda: zoo.build(name, count)[0],
                pictures,
                chosen,
                name=name,
                run=run,
                distillation=taught,
                told=told,
                finished=finished,
            ),
            chosen,
            -(-len(pictures.train) // chosen.batch),
        )
        if run.group.leads:
            _leave(name, result, pictures, out, place, as_json)
    finally:
        run.group.leave()
        if run.group.leads:
            with contextlib.suppress(OSError):
                place.rmdir()  # of a training that was refused nothing stays; one with files does


def _usual(entry: Entry, name: str) -> str:
    from xnorhw.nn import zoo

    return "plain" if name.endswith(zoo.PLAIN) else entry.recipe


def _recipe(name: str) -> Recipe:
    from xnorhw.nn.train import RECIPES

    if name not in RECIPES:
        raise XnorhwError(
            "there is no such recipe",
            module=f"--recipe {name}",
            remedy=f"Use one of {', '.join(sorted(RECIPES))}",
        )
    return RECIPES[name]


def _changed(recipe: Recipe, key: str, value: Any) -> Recipe:
    """The recipe with another number; a schedule of steps keeps its shares of the epochs."""
    from xnorhw.nn.train import Steps

    if key == "epochs" and isinstance(recipe.schedule, Steps):
        at = tuple(start * value / recipe.epochs for start in recipe.schedule.at)
        return replace(recipe, epochs=value, schedule=Steps(at, recipe.schedule.factors))
    return replace(recipe, **{key: value})


def _told(leads: bool, work: Any, recipe: Recipe, batches: int) -> Result:
    """Run ``work`` with a progress bar, which one process alone has."""
    if not leads:
        result: Result = work(None, None)
        return result
    state = {"epoch": 0, "loss": 0.0, "tested": ""}

    def item(_: Any) -> str:
        return f"epoch {state['epoch']} of {recipe.epochs}, loss {state['loss']:.4f}{state['tested']}"

    total = recipe.epochs * batches
    with click.progressbar(length=total, label="training", file=sys.stderr, item_show_func=item) as bar:

        def told(epoch: int, batch: int, loss: float) -> None:
            state.update(epoch=epoch, loss=loss)
            bar.update((epoch - 1) * batches + batch - bar.pos)

        def finished(epoch: Epoch) -> None:
            state["tested"] = f", test {100 * epoch.test_accuracy:.2f} %"

        found: Result = work(told, finished)
        bar.update(total - bar.pos)
    return found


def _leave(name: str, result: Result, data: Data, out: Path, place: Path, as_json: bool) -> None:
    """Curves, then the model file (of a teacher: its checkpoint), then what it came to."""
    from xnorhw.nn import zoo
    from xnorhw.nn.train import draw_curves
    from xnorhw.nn.train.checkpoint import write_whole
    from xnorhw.nn.train.loop import CHECKPOINT, LOG

    notes = []
    try:
        draw_curves(result.log, place / "curves.png", f"{name} on {data.name}")
    except ToolError as error:
        notes.append(str(error))
    tree: dict[str, Any] = {
        "accuracy": result.accuracy,
        "best_epoch": result.best_epoch,
        "epochs": len(result.log),
        "tested": len(data.test),
        "classes": list(data.classes),
        "file": str(out),
        "log": str(place / LOG),
    }
    text = (
        f"test accuracy {100 * result.accuracy:.2f} % on {len(data.test)} pictures of {data.name} "
        f"after epoch {result.best_epoch} of {len(result.log)}; saved as {out}"
    )
    if name.endswith(zoo.PLAIN):
        write_whole(out, (place / CHECKPOINT).read_bytes())
        text += ", a teacher for --teacher: no build takes a network in full precision"
    else:
        snapped, moved = _snapped(result.net, data)
        _save(snapped, out, data)
        if moved:
            from xnorhw.nn.train import accuracy

            tree["snapped_accuracy"] = accuracy(snapped, data.test)
            share = 100 * tree["snapped_accuracy"]
            text += f"\nits layers in full precision were rounded to their grids: {share:.2f} %"
    show(as_json, tree, "\n".join([text, f"log and checkpoint: {place}", *notes]))


def _snapped(net: nn.Module, data: Data) -> tuple[nn.Module, bool]:
    """The network with its full-precision layers on their grids, and whether it has any."""
    from xnorhw import snap
    from xnorhw.nn.full import FullBase

    if not any(isinstance(m, FullBase) for m in net.modules()):
        return net, False
    with contextlib.redirect_stdout(io.StringIO()):
        return snap(net), True


def _save(net: nn.Module, out: Path, data: Data) -> None:
    from xnorhw import Input, save

    samples, labels = data.samples(SAMPLES)
    save(net, out, Input(data.shape), samples=samples, labels=labels)


def _model_file(path: Path) -> Teacher:
    from xnorhw.frontends import TorchEvaluator, load_model_file

    return TorchEvaluator(load_model_file(path).graph).run
