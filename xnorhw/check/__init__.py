"""The chain: runs each form, compares every tensor, names the first difference."""

from xnorhw.check.compare import Comparison, Difference, compare
from xnorhw.check.torch_link import check_torch
from xnorhw.check.verdict import Accuracy, Approximation, Link, Verdict
from xnorhw.check.verify import Level, verify_build

__all__ = [
    "Accuracy",
    "Approximation",
    "Comparison",
    "Difference",
    "Level",
    "Link",
    "Verdict",
    "check_torch",
    "compare",
    "verify_build",
]
