"""The comparison itself: it finds what differs, and cannot be satisfied by nothing."""

from __future__ import annotations

import numpy as np
import pytest

from xnorhw.check.compare import Comparison, compare
from xnorhw.check.verdict import Link, Verdict
from xnorhw.ir.errors import VerifyError


def tensors() -> dict[str, np.ndarray]:
    return {"a": np.arange(24).reshape(2, 3, 2, 2), "b": np.arange(4).reshape(2, 2)}


def test_other_tensors_add_up_and_more_frames_do_not() -> None:
    one, two = Comparison(2, 10, 1), Comparison(3, 20, 0)
    assert (one + two).tensors == 3 and one.beside(two).tensors == 5
    assert (one + two).values == one.beside(two).values == 30
    assert one.beside(two).mismatches == 1


def test_equal_tensors() -> None:
    result = compare("rtl", ["a", "b"], tensors(), tensors())
    assert (result.tensors, result.values, result.mismatches, result.first) == (2, 28, 0, None)


def test_the_first_difference_is_the_earliest_layers() -> None:
    wrong = tensors()
    wrong["b"][0, 1] += 1
    wrong["a"][1, 2, 1, 0] += 5
    result = compare("rtl", ["a", "b"], tensors(), wrong, first_frame=10)
    assert result.mismatches == 2
    first = result.first
    assert first is not None
    assert (first.tensor, first.frame, first.channel, first.y, first.x) == ("a", 11, 2, 1, 0)
    assert (first.expected, first.found) == (22, 27)
    assert "a, channel 2, pixel (1, 0) of frame 11" in str(first)


def test_missing_frames_are_mismatches() -> None:
    short = {name: values[:1] for name, values in tensors().items()}
    result = compare("rtl", ["a"], tensors(), short)
    assert result.mismatches == 12
    assert result.first is not None and result.first.frame == 1


def test_frames_too_many_are_mismatches() -> None:
    long = {name: np.concatenate([values, values[:1]]) for name, values in tensors().items()}
    result = compare("rtl", ["a"], tensors(), long)
    assert result.mismatches == 12
    assert result.first is not None and result.first.frame == 2


def test_a_wrong_value_is_named_before_a_missing_one() -> None:
    found = tensors()
    found["a"] = found["a"][:1]
    found["b"][1, 1] = 7
    first = compare("rtl", ["a", "b"], tensors(), found).first
    assert first is not None and first.tensor == "b"


def test_a_tensor_that_one_side_lacks_is_no_pass() -> None:
    with pytest.raises(KeyError):
        compare("rtl", ["a", "b"], tensors(), {"a": tensors()["a"]})


def test_flat_and_map_forms_are_one() -> None:
    flat = {"b": tensors()["b"].reshape(2, 2, 1, 1)}
    assert compare("golden", ["b"], tensors(), flat).mismatches == 0


def verdict(*links: Link) -> Verdict:
    return Verdict(1, 0, 1, links, None, (), 0, (), ())


def test_a_link_that_compared_nothing_is_no_pass() -> None:
    assert not verdict(Link("golden", "", "not asked for")).passed
    assert not verdict(Link("golden", "ran", "", 0, 0, 0)).passed
    assert verdict(Link("golden", "ran", "", 1, 1, 0)).passed
    assert not verdict(Link("golden", "ran", "", 1, 1, 0), Link("rtl", "ran", "", 1, 5, 1)).passed
    with pytest.raises(VerifyError, match="nothing was compared"):
        verdict(Link("golden", "", "why")).require()


def test_not_run_stays_not_run_in_the_file() -> None:
    tree = verdict(Link("golden", "torch", "", 1, 1, 0), Link("rtl", "", "no simulator")).to_json()
    assert tree["chain"] == {"golden": "torch", "rtl": "not run"}
    assert tree["not_run"] == {"rtl": "no simulator"}


def test_sums_of_comparisons_keep_the_first() -> None:
    wrong = tensors()
    wrong["b"][0, 0] = 9
    bad = compare("rtl", ["b"], tensors(), wrong)
    total = Comparison(1, 10, 0, None) + bad
    assert (total.values, total.mismatches, total.first) == (14, 1, bad.first)
