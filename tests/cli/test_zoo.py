"""``xnorhw zoo``: the list of networks."""

from __future__ import annotations

import json
from typing import Any

from tests.command_line import refused
from xnorhw.nn import zoo


def test_every_network_has_a_line(xn: Any) -> None:
    ended = xn("zoo")
    assert ended.code == 0
    for name, entry in zoo.ENTRIES.items():
        lines = [line for line in ended.out.splitlines() if line.split() and line.split()[0] == name]
        assert len(lines) == 2
        assert (
            f"{entry.figures.weights:,}" in lines[0]
            and entry.accuracy in lines[1]
            and entry.source in lines[1]
        )


def test_machines_read_the_same(xn: Any) -> None:
    tree = json.loads(xn("zoo", "--json").out)
    assert [e["name"] for e in tree] == list(zoo.NAMES)
    resnet = next(e for e in tree if e["name"] == "resnet18-xnor")
    assert resnet["weights"] == 11_678_912 and "binary 1x1" in resnet["deviates"]
    assert resnet["accuracy"] == "51.2 % top-1, 73.2 % top-5 (ImageNet)"


def test_one_network(xn: Any) -> None:
    page = xn("zoo", "wide13").out
    assert "not verified" in page and "table of layers was not found" in page
    assert "xnorhw train wide13" in page
    refused(xn("zoo", "nothing"), "nothing: there is no such network", "`xnorhw zoo`")
