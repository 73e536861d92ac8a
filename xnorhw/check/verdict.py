"""What a verification found: the links that ran and those that did not, and the first difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xnorhw.check.compare import Difference
from xnorhw.ir.errors import VerifyError

__all__ = ["LINKS", "Accuracy", "Approximation", "Link", "Verdict"]

LINKS = ("golden", "c", "hls", "rtl")
NOT_RUN = "not run"


@dataclass(frozen=True)
class Link:
    """One link of the chain: ``ran`` says what ran, or is empty; ``why`` then says why not."""

    name: str
    ran: str
    why: str
    tensors: int = 0
    values: int = 0
    mismatches: int = 0

    def __str__(self) -> str:
        return self.ran or f"{NOT_RUN}: {self.why}"


@dataclass(frozen=True)
class Accuracy:
    """How many labelled frames a form decides right, and which it decides unlike torch."""

    form: str
    right: int
    labelled: int
    differs: tuple[int, ...]


@dataclass(frozen=True)
class Approximation:
    """The layers and norms whose numbers were rounded, and how many of ``frames`` decisions that changed."""

    layers: tuple[str, ...]
    frames: int
    differing: int

    @property
    def share(self) -> float:
        """Differing decisions over frames."""
        return self.differing / self.frames

    def __str__(self) -> str:
        return (
            f"APPROXIMATE: the numbers of {', '.join(self.layers)} were rounded; {self.differing} of "
            f"{self.frames} decisions ({100 * self.share:.2f} %) differ from the trained network's"
        )


@dataclass(frozen=True)
class Verdict:
    """The result of ``verify``; see verify.json in docs/design.md.

    ``frames`` = ``real`` + ``random``.  ``decision_ties`` are frames whose two best scores
    lie within rounding and whose decision torch takes the other way.  ``cycles_per_frame``
    and ``latency_cycles`` are simulated, None where the RTL did not run.  ``approximation`` is
    None where the build computes what the trained network does.
    """

    frames: int
    real: int
    random: int
    links: tuple[Link, ...]
    first: Difference | None
    decision_ties: tuple[int, ...]
    rounding_dependent: int
    accuracy: tuple[Accuracy, ...]
    edited: tuple[str, ...]
    cycles_per_frame: float | None = None
    latency_cycles: int | None = None
    bound_cycles: int | None = None
    approximation: Approximation | None = None

    @property
    def values(self) -> int:
        """Values compared, over all links."""
        return sum(link.values for link in self.links)

    @property
    def mismatches(self) -> int:
        """Values that differ, over all links."""
        return sum(link.mismatches for link in self.links)

    @property
    def passed(self) -> bool:
        """True where every link that ran compared something and found no difference."""
        ran = [link for link in self.links if link.ran]
        return bool(ran) and all(link.values > 0 and not link.mismatches for link in ran)

    def require(self) -> None:
        """Raise VerifyError, naming the first difference, where two forms differ."""
        if self.passed:
            return
        if self.first is None:
            raise VerifyError(
                "no link ran, nothing was compared", module="verify", remedy="Ask for golden or full"
            )
        d = self.first
        if d.link == "rom":
            raise VerifyError(
                f"rom differs from the integer graph: channel {d.channel} has {d.found:g} in a ROM, "
                f"expected {d.expected:g} (fold or position class {d.y}, lane {d.x}); "
                f"{self.mismatches} values differ in all",
                module=d.layer,
                remedy="Build again",
            )
        raise VerifyError(
            f"{d.link} differs from its reference: tensor {d.tensor}, channel {d.channel}, pixel "
            f"({d.y}, {d.x}) of frame {d.frame} is {d.found:g}, expected {d.expected:g}; "
            f"{self.mismatches} values differ in all",
            module=d.layer or d.tensor,
            remedy="Build again; if it stays, report it with the build folder",
        )

    def to_json(self) -> dict[str, Any]:
        """The tree of verify.json."""
        ran = [link for link in self.links if link.ran]
        return {
            "format": "xnorhw-verdict",
            "version": "1.0",
            "passed": self.passed,
            "frames": self.frames,
            "real_frames": self.real,
            "random_frames": self.random,
            "tensors": sum(link.tensors for link in ran),
            "values": self.values,
            "mismatches": self.mismatches,
            "chain": {link.name: link.ran or NOT_RUN for link in self.links},
            "not_run": {link.name: link.why for link in self.links if not link.ran},
            "links": {
                link.name: {"tensors": link.tensors, "values": link.values, "mismatches": link.mismatches}
                for link in ran
            },
            "approximate": None
            if self.approximation is None
            else {
                **vars(self.approximation),
                "layers": list(self.approximation.layers),
                "share": self.approximation.share,
                "text": str(self.approximation),
            },
            "first_difference": None if self.first is None else {**vars(self.first), "text": str(self.first)},
            "decision_ties": list(self.decision_ties),
            "rounding_dependent_channels": self.rounding_dependent,
            "accuracy": [{**vars(a), "differs": list(a.differs)} for a in self.accuracy],
            "edited_files": list(self.edited),
            "cycles_per_frame": self.cycles_per_frame,
            "latency_cycles": self.latency_cycles,
            "bound_cycles": self.bound_cycles,
            "sources": {
                "cycles_per_frame": "simulated (Verilator)",
                "latency_cycles": "simulated (Verilator)",
            },
        }
