"""What a run of one form observed, as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.emit.sim import observed_edges
from xnorhw.emit.store import StoredBuild
from xnorhw.pack import Words, pack_frames, unpack_results, unpack_stream

__all__ = ["Arrays", "frames_of", "observed_names", "observed_tensors"]

Arrays = dict[str, npt.NDArray[Any]]


def observed_names(stored: StoredBuild) -> list[str]:
    """The tensors that leave a unit as they are, earliest layer first; the output is the last."""
    seen = {*observed_edges(stored.plan), stored.plan.output_tensor}
    return [n.output.name for n in stored.graph.nodes if n.output.name in seen]


def frames_of(stored: StoredBuild, tensors: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
    """The input frames of golden ``tensors`` as the IP takes them."""
    plan = stored.plan
    kind = stored.graph.tensor(plan.input_tensor).type
    assert kind is not None
    return pack_frames(plan, tensors[plan.input_tensor], kind)


def observed_tensors(
    stored: StoredBuild, streams: Mapping[str, Words], results: npt.NDArray[np.uint8], frames: int
) -> Arrays:
    """The tensors [N, C, H, W] of what a simulation of ``frames`` frames observed.

    A frame that broke off is left out, and thereby missing; words of a frame that was never
    sent make a frame too many.
    """
    graph, plan = stored.graph, stored.plan
    tensors: Arrays = {}
    for name, edge in observed_edges(plan).items():
        tensor = graph.tensor(name)
        assert tensor.type is not None
        words = streams.get(name, [])
        size = edge.stream.words
        whole = len(words) // size * size
        words = words[:whole] if len(words) <= frames * size else _filled(words, -len(words) % size)
        tensors[name] = unpack_stream(edge.stream, words, tensor.shape, tensor.type)
    # the result frame is the output tensor as the host reads it, whatever edge it left on
    tensors[plan.output_tensor] = unpack_results(plan, results, graph.tensor(plan.output_tensor).shape)
    return tensors


def _filled(words: Words, more: int) -> Words:
    """``more`` words of zeros behind the others."""
    if isinstance(words, list):
        return words + [0] * more
    return np.concatenate([words, np.zeros((more, words.shape[1]), np.uint8)])
