"""The device against the golden model's integers, on the frames in this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .errors import SelfTestError, TransferError
from .reports import SelfTestReport

if TYPE_CHECKING:
    from .driver import Accelerator

__all__ = ["self_test"]

_SINGLE = "The design computes something else on this chip: look at the timing report of the bitstream "
_SINGLE += (
    "(work/reports in the Vivado project), the clock (throughput_test() reads it back) and the power supply"
)
_BATCH = "Single frames are right: what is wrong is how frames follow each other; look at the stream's width "
_BATCH += "and the frame size in beats, and at the DMA's data widths in the block design"
_ABORT = (
    "The accelerator does not come clean out of a reset: load the bitstream anew, and look at the wiring "
)
_ABORT += "of the resets in the block design"


def self_test(accelerator: Accelerator) -> SelfTestReport:
    """Run the samples singly, as one batch and after an aborted transfer.

    Raises SelfTestError that names the first difference (frame, output, expected, found) and
    what to check.
    """
    samples = accelerator.samples
    inputs, expected = samples.inputs, samples.sums
    steps = []

    singly = np.concatenate(
        [_sums(accelerator, inputs[i : i + 1], "singly", _SINGLE) for i in range(len(inputs))]
    )
    _compare(accelerator, singly, expected, "run singly", _SINGLE)
    steps.append(f"{len(inputs)} frames singly")

    batch = _sums(accelerator, inputs, "as one batch", _BATCH)
    _compare(accelerator, batch, expected, "run as one batch", _BATCH)
    steps.append(f"{len(inputs)} frames as one batch")

    accelerator.abort_a_transfer(inputs)
    after = _sums(accelerator, inputs, "after an aborted transfer", _ABORT)
    _compare(accelerator, after, expected, "run after an aborted transfer", _ABORT)
    steps.append(f"{len(inputs)} frames after a transfer that was aborted halfway")

    scores = accelerator.scores_of(expected)
    different = np.argwhere(scores.view(np.uint32) != samples.scores.view(np.uint32))
    if len(different):
        frame, place = map(int, different[0])
        raise SelfTestError(
            f"frame {frame}, class {place}: the score is {scores[frame, place]!r}, "
            f"the golden model's {samples.scores[frame, place]!r}: this processor's float32 differs",
            module="self-test",
            remedy="Look at the NumPy of this machine; the chip's integers are right",
        )
    steps.append("scores computed from the golden sums, bit for bit")
    accuracy = None
    if samples.labels is not None:
        found = np.argmax(accelerator.scores_of(after), axis=1)[: samples.real]
        accuracy = float(np.mean(found == samples.labels))
    return SelfTestReport(accelerator.kind, accelerator.simulated, len(inputs), tuple(steps), accuracy)


def _sums(accelerator: Accelerator, frames: np.ndarray, how: str, check: str) -> np.ndarray:
    try:
        return accelerator.predict_sums(frames)
    except TransferError as error:
        raise SelfTestError(f"frames run {how}: {error.reason}", module="self-test", remedy=check) from error


def _compare(accelerator: Accelerator, found: np.ndarray, expected: np.ndarray, how: str, check: str) -> None:
    different = np.argwhere(found != expected)
    if not len(different):
        return
    frame, channel, y, x = map(int, different[0])
    wrong = len(np.unique(different[:, 0]))
    pixel = f", pixel ({y}, {x})" if expected.shape[2:] != (1, 1) else ""
    place = "class" if expected[0].size == accelerator.description.classes else "channel"
    raise SelfTestError(
        f"{wrong} of {len(expected)} frames {how} differ; "
        f"the first: frame {frame}, {place} {channel}{pixel}: "
        f"expected {int(expected[frame, channel, y, x])}, found {int(found[frame, channel, y, x])}",
        module="self-test",
        remedy=check,
    )
