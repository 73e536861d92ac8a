"""Boards as data: reads ``boards/<name>.toml``.  A new board needs a file, no Python."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xnorhw import resources
from xnorhw.ir.errors import BoardError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Board", "Budget", "PsPorts", "board_names", "load_board", "parse_board"]

_FOLDER = "boards"
_SUFFIX = ".toml"
_FAMILIES = ("xc7", "xcup")
_STREAM_BITS = (32, 64, 128, 256)


@dataclass(frozen=True)
class Budget:
    """What a device holds or a part of it takes; block RAM in BRAM36 (a BRAM18 is 0.5)."""

    lut: float
    ff: float
    bram36: float
    uram: float = 0.0
    dsp: float = 0.0


@dataclass(frozen=True)
class PsPorts:
    """The processing system: its IP, its ports that the design is wired to, its settings.

    ``control`` (an AXI master, clocked by ``control_clock``) reaches the registers from the
    address ``control_base`` on; ``data`` (an AXI slave, clocked by ``data_clock``) reaches
    the first ``memory_bytes`` of DDR through the address segment ``memory``.  ``clock`` and
    ``reset`` feed the design; the IP's parameter ``clock_setting`` takes the clock in MHz,
    which comes out as ``clock_source_mhz`` over a whole number.  ``external`` are interfaces
    that leave the chip, ``settings`` the IP's other parameters as (name, value).
    """

    ip: str
    control: str
    control_clock: str
    control_base: int
    data: str
    data_clock: str
    memory: str
    memory_bytes: int
    clock: str
    clock_setting: str
    clock_source_mhz: float
    reset: str
    external: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Board:
    """A board: its device, what the device holds, and what the shell takes of it.

    ``family`` is "xc7" (7 series) or "xcup" (UltraScale+).  ``shell`` is an estimate of
    the DMA, the interconnects and our own shell.  ``fill`` is the share (0..1) of the rest
    that automatic folding may use.  ``stream_bits`` is the width of the IP's AXI-Streams,
    ``ddr_gbytes_per_s`` the nominal DDR bandwidth in 10^9 bytes a second, ``clock_mhz``
    the default clock of the programmable logic, ``clock_max_mhz`` the highest that the
    device's clock network takes: a limit of the device, not what a design closes.
    """

    name: str
    title: str
    part: str
    family: str
    clock_mhz: float
    clock_max_mhz: float
    stream_bits: int
    ddr_gbytes_per_s: float
    budget: Budget
    shell: Budget
    fill: float
    ps: PsPorts

    def clock_below(self, mhz: float) -> float:
        """The highest clock in MHz, to three decimals, that is not above ``mhz`` and can be made.

        The processing system divides one source by a whole number.
        """
        source = self.ps.clock_source_mhz
        # three decimals of a clock that can be made are not quite that clock
        divisor = max(1, math.ceil(source / mhz - 1e-3))
        return math.floor(1000 * source / divisor) / 1000


def board_names() -> list[str]:
    """The names of all boards, sorted."""
    return resources.list_names(_FOLDER, _SUFFIX)


def load_board(name: str) -> Board:
    """The board ``name``; BoardError with the nearest names where there is none."""
    names = board_names()
    if name == "cpu":
        raise BoardError(
            "is no board: it stands for a build without an accelerator, which has nothing to plan",
            module=name,
            remedy="Use xnorhw build --board cpu, or one of the boards " + ", ".join(names),
        )
    if name not in names:
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4)
        hint = "Did you mean " + " or ".join(near) + "? " if near else ""
        raise BoardError(
            "there is no such board", module=name, remedy=f"{hint}The boards are {', '.join(names)}"
        )
    return parse_board(resources.read_text(f"{_FOLDER}/{name}{_SUFFIX}"), name)


def parse_board(text: str, name: str) -> Board:
    """Read a board's TOML text; BoardError naming the key that is missing, wrong or unknown.

    ``name`` is the file's name without its suffix; the key ``name`` must equal it.
    """
    where = f"{_FOLDER}/{name}{_SUFFIX}"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BoardError(f"the file is no TOML: {error}", module=where, remedy="Correct the file") from None
    top = _Table(data, where, "")
    board = Board(
        name=top.text("name"),
        title=top.text("title"),
        part=top.text("part"),
        family=top.one_of("family", _FAMILIES),
        clock_mhz=top.number("clock_mhz", low=1.0, high=1000.0),
        clock_max_mhz=top.number("clock_max_mhz", low=1.0, high=1000.0),
        stream_bits=top.one_of("stream_bits", _STREAM_BITS),
        ddr_gbytes_per_s=top.number("ddr_gbytes_per_s", low=0.01, high=10000.0),
        budget=_budget(top.table("budget")),
        shell=_budget(top.table("shell")),
        fill=_fill(top.table("planner")),
        ps=_ports(top.table("ps"), top.table("ps_settings")),
    )
    top.finish()
    if board.name != name:
        raise _wrong(where, "name", f"is {board.name!r}, but the file is called {name!r}")
    if board.clock_mhz > board.clock_max_mhz:
        raise _wrong(where, "clock_mhz", f"is above clock_max_mhz, {board.clock_max_mhz:g}")
    for key in ("lut", "ff", "bram36"):
        if getattr(board.shell, key) >= getattr(board.budget, key):
            raise _wrong(where, f"shell.{key}", "leaves nothing of the budget")
    return board


def _budget(table: _Table) -> Budget:
    large = 1e8
    budget = Budget(
        lut=table.number("lut", low=1, high=large),
        ff=table.number("ff", low=1, high=large),
        bram36=table.number("bram36", low=0, high=large),
        uram=table.number("uram", low=0, high=large, default=0.0),
        dsp=table.number("dsp", low=0, high=large, default=0.0),
    )
    table.finish()
    return budget


def _fill(table: _Table) -> float:
    fill = table.number("fill", low=0.01, high=1.0)
    table.finish()
    return fill


def _ports(table: _Table, settings: _Table) -> PsPorts:
    ports = PsPorts(
        ip=table.text("ip"),
        control=table.text("control"),
        control_clock=table.text("control_clock"),
        control_base=int(table.number("control_base", low=0, high=2**40)),
        data=table.text("data"),
        data_clock=table.text("data_clock"),
        memory=table.text("memory"),
        memory_bytes=int(table.number("memory_bytes", low=2**20, high=2**40)),
        clock=table.text("clock"),
        clock_setting=table.text("clock_setting"),
        clock_source_mhz=table.number("clock_source_mhz", low=1.0, high=10000.0),
        reset=table.text("reset"),
        external=table.texts("external"),
        settings=tuple((key, settings.text(key)) for key in settings.names()),
    )
    table.finish()
    return ports


def _wrong(where: str, key: str, problem: str) -> BoardError:
    return BoardError(f"the key {key} {problem}", module=where, remedy="Correct the file")


class _Table:
    """One TOML table; every key must be read, so that a misspelt one is found."""

    def __init__(self, data: Mapping[str, Any], where: str, prefix: str) -> None:
        self._data = data
        self._where = where
        self._prefix = prefix
        self._read: set[str] = set()

    def _get(self, key: str, default: Any = None) -> Any:
        self._read.add(key)
        if key not in self._data:
            if default is not None:
                return default
            near = difflib.get_close_matches(key, sorted(set(self._data) - self._read), n=1)
            hint = f" (found {self._prefix}{near[0]})" if near else ""
            raise _wrong(self._where, self._prefix + key, f"is missing{hint}")
        return self._data[key]

    def text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str) or not value:
            raise _wrong(self._where, self._prefix + key, f"must be a text, not {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._get(key)
        if not isinstance(value, list) or not all(isinstance(entry, str) and entry for entry in value):
            raise _wrong(self._where, self._prefix + key, f"must be a list of texts, not {value!r}")
        return tuple(value)

    def names(self) -> list[str]:
        return list(self._data)

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(self._where, self._prefix + key, f"must be a number, not {value!r}")
        if not low <= value <= high:
            raise _wrong(self._where, self._prefix + key, f"must lie in {low:g}..{high:g}, not {value!r}")
        return float(value)

    def one_of(self, key: str, options: tuple[Any, ...]) -> Any:
        value = self._get(key)
        if value not in options or isinstance(value, bool):
            listed = ", ".join(map(str, options))
            raise _wrong(self._where, self._prefix + key, f"must be one of {listed}, not {value!r}")
        return value

    def table(self, key: str) -> _Table:
        value = self._get(key)
        if not isinstance(value, dict):
            raise _wrong(self._where, self._prefix + key, "must be a table")
        return _Table(value, self._where, f"{self._prefix}{key}.")

    def finish(self) -> None:
        unknown = sorted(set(self._data) - self._read)
        if unknown:
            raise _wrong(self._where, self._prefix + unknown[0], "is unknown")
