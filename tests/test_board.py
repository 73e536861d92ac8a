"""Boards: every file loads, and a wrong one names its key."""

from __future__ import annotations

import pytest

from xnorhw import resources
from xnorhw.board import Board, Budget, board_names, load_board, parse_board
from xnorhw.ir.errors import BoardError

GOOD = resources.read_text("boards/pynq-z2.toml")


def test_the_boards_are_there() -> None:
    assert {"kv260", "pynq-z1", "pynq-z2", "ultra96-v2", "zcu104"} <= set(board_names())
    assert board_names() == sorted(board_names())


@pytest.mark.parametrize("name", board_names())
def test_every_board_loads(name: str) -> None:
    board = load_board(name)
    assert isinstance(board, Board)
    assert board.name == name
    assert board.part.startswith("xc")
    assert board.shell.lut < board.budget.lut
    assert 0 < board.fill <= 1
    assert board.clock_mhz < board.clock_max_mhz


def test_the_device_of_the_pynq() -> None:
    board = load_board("pynq-z2")
    assert (board.part, board.family) == ("xc7z020clg400-1", "xc7")
    assert board.budget == Budget(lut=53200, ff=106400, bram36=140, uram=0, dsp=220)


def test_an_unknown_board_gets_the_nearest_names() -> None:
    with pytest.raises(BoardError) as caught:
        load_board("pynq-z3")
    assert "pynq-z1 or pynq-z2" in caught.value.remedy or "pynq-z2 or pynq-z1" in caught.value.remedy
    assert "zcu104" in caught.value.remedy


def test_a_name_that_is_a_path_is_no_board() -> None:
    with pytest.raises(BoardError):
        load_board("../boards/pynq-z2")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("lut = 53200", "lut = '53200'", "budget.lut"),
        ("lut = 53200", "luts = 53200", "budget.lut"),
        ("dsp = 220", "dsp = 220\nslices = 1", "budget.slices"),
        ("dsp = 220", "dsp = -1", "budget.dsp"),
        ('family = "xc7"', 'family = "spartan"', "family"),
        ("stream_bits = 64", "stream_bits = 65", "stream_bits"),
        ("stream_bits = 64", "stream_bits = true", "stream_bits"),
        ("\nclock_mhz = 100.0", "\nclock_mhz = 0", "clock_mhz"),
        ("\nclock_mhz = 100.0", "\nclock_mhz = 464.5", "clock_mhz"),
        ("clock_max_mhz = 464.0", "clock_max_mhz = 2000", "clock_max_mhz"),
        ("clock_max_mhz = 464.0", "", "clock_max_mhz"),
        ("fill = 0.8", "fill = 1.8", "planner.fill"),
        ("[ps]", "[psx]", "ps"),
        ('name = "pynq-z2"', 'name = "pynq"', "name"),
        ('part = "xc7z020clg400-1"', 'part = ""', "part"),
        ("bram36 = 5", "bram36 = 500", "shell.bram36"),
        ('data = "S_AXI_HP0"', "", "ps.data"),
    ],
)
def test_a_broken_file_names_its_key(old: str, new: str, key: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(BoardError) as caught:
        parse_board(GOOD.replace(old, new), "pynq-z2")
    assert caught.value.reason.startswith(f"the key {key} ")
    assert caught.value.module == "boards/pynq-z2.toml"


def test_a_misspelt_key_is_found() -> None:
    with pytest.raises(BoardError, match=r"clock_mhz is missing \(found clock_mhs\)"):
        parse_board(GOOD.replace("\nclock_mhz", "\nclock_mhs"), "pynq-z2")


def test_a_file_that_is_no_toml() -> None:
    with pytest.raises(BoardError, match="no TOML"):
        parse_board("name = ", "pynq-z2")
