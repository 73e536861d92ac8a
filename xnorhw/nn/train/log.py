"""What a training leaves to look at: a table of its epochs and its curves."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from xnorhw.ir.errors import ToolError

__all__ = ["Epoch", "draw_curves", "log_text"]


@dataclass(frozen=True)
class Epoch:
    """One pass: its number from 1, the rate at its end, means over its pictures, seconds."""

    epoch: int
    learning_rate: float
    loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float


def log_text(epochs: Sequence[Epoch]) -> str:
    """The CSV: a line an epoch, headed by the names of the fields."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([f.name for f in fields(Epoch)])
    for e in epochs:
        writer.writerow(
            [
                e.epoch,
                f"{e.learning_rate:.6g}",
                f"{e.loss:.6f}",
                f"{e.train_accuracy:.6f}",
                f"{e.test_accuracy:.6f}",
                f"{e.seconds:.2f}",
            ]
        )
    return out.getvalue()


def draw_curves(epochs: Sequence[Epoch], path: Path, title: str) -> None:
    """Loss and accuracies over the epochs as a PNG; ToolError where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        raise ToolError(
            "the curves are drawn by matplotlib, which is not installed",
            module=str(path),
            remedy="Run pip install 'xnorhw[plot]'; log.csv holds the same numbers",
        ) from None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    del matplotlib
    numbers = [e.epoch for e in epochs]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.plot(numbers, [e.loss for e in epochs], color="tab:red")
    left.set(
        xlabel="epoch", ylabel="training loss", yscale="log" if min(e.loss for e in epochs) > 0 else "linear"
    )
    right.plot(numbers, [100 * e.train_accuracy for e in epochs], label="training", color="tab:gray")
    right.plot(numbers, [100 * e.test_accuracy for e in epochs], label="test", color="tab:blue")
    right.set(xlabel="epoch", ylabel="accuracy, %")
    right.legend()
    figure.suptitle(title)
    # without the version of matplotlib, which the file would carry otherwise
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
