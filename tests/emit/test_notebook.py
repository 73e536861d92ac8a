"""The notebook as a file: what nbformat asks for, the same bytes every time, no outputs."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from xnorhw.emit import notebook
from xnorhw.emit.notebook import Cell, cells, notebook_json

HOST = {
    "host/accel_engine.h": "header",
    "host/engine/xh_run.c": "code",
    "host/engine/accel_network.c": "weights",
    "host/Makefile": "all:",
    "host/engine_main.c": "main",
    "host/driver/xh_uio.c": "driver",
}


def made() -> dict[str, str]:
    return notebook.files(HOST, title="Some Board", package="some_package")


def test_files() -> None:
    """The notebook, what it shows with, and of the engine what a compiler needs: no more."""
    files = made()
    assert sorted(files) == [
        "pynq/some_package/cpu/accel_batch.c",
        "pynq/some_package/cpu/accel_engine.h",
        "pynq/some_package/cpu/engine/accel_network.c",
        "pynq/some_package/cpu/engine/xh_run.c",
        "pynq/some_package/notebooks/accel.ipynb",
        "pynq/some_package/view.css",
        "pynq/some_package/view.py",
    ]
    assert files["pynq/some_package/cpu/engine/accel_network.c"] == "weights"
    assert files == made()


def tree() -> Any:
    return json.loads(made()["pynq/some_package/notebooks/accel.ipynb"])


def test_format() -> None:
    """nbformat 4.5: ids of its alphabet, all different; no output and no count is stored."""
    book = tree()
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids) and all(x.replace("-", "").isalnum() and len(x) <= 64 for x in ids)
    for cell in book["cells"]:
        assert cell["source"] and all(line.endswith("\n") for line in cell["source"][:-1])
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            ast.parse("".join(cell["source"]))
        else:
            assert "outputs" not in cell


def test_begins_with_the_self_test() -> None:
    book = tree()
    first = next(cell for cell in book["cells"] if cell["cell_type"] == "code")
    source = "".join(first["source"])
    assert "import some_package" in source and "accelerator.self_test()" in source
    assert "Some Board" in "".join(book["cells"][0]["source"])


def test_title_is_one_line() -> None:
    text = notebook.files(HOST, title='A\nBoard "x"', package="p")["pynq/p/notebooks/accel.ipynb"]
    assert "".join(json.loads(text)["cells"][0]["source"]).startswith(
        "# A binary neural network on A_Board _x_\n"
    )


def test_cells() -> None:
    found = cells("# %% [markdown] one\n# # Title\n#\n# text\n# %% two\n\nx = 1\n\ny = 2\n\n")
    assert found == (Cell("one", True, "# Title\n\ntext"), Cell("two", False, "x = 1\n\ny = 2"))
    assert json.loads(notebook_json(found))["cells"][1]["source"] == ["x = 1\n", "\n", "y = 2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n# %% one\n", "text in front of the first cell: 'x = 1'"),
        ("# %% one\nx = 1\n# %% one\n", "a cell's name occurs twice: one, one"),
        ("# %% [markdown] one\nx = 1\n", "cell one: no comment in a Markdown cell: 'x = 1'"),
        ("# %% One\n", "text in front of the first cell: '# %% One'"),
    ],
)
def test_bad_cells(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        cells(text)
    assert str(caught.value) == message
