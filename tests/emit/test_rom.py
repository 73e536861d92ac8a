"""The memory files: $readmemh's form, the layout by hand, and the inverse."""

from __future__ import annotations

import re

from xnorhw.emit import rom
from xnorhw.ir.int_graph import IntGraph
from xnorhw.pack import start_words, weight_words
from xnorhw.plan.model import Plan, StartRom, WeightRom


def data(text: str) -> list[str]:
    header, *lines = text.splitlines()
    assert header.startswith("// ") and text.endswith("\n")
    return lines


def test_weights_by_hand(plan: Plan, graph: IntGraph) -> None:
    """Rows 0111, 1011, 1101 of channels 3..0 and one padded row; PE 2 x SIMD 2, two groups of two folds.

    Row r has bit 0 at channel r.  Group 0 holds rows 0 (PE 0) and 1 (PE 1), group 1 row 2
    and a padded row of ones; fold 0 is channels 0 and 1, PE 0 in the lower bits.
    """
    text = rom.files(plan, graph)["rom/accel_fc_weights.mem"]
    assert data(text) == ["6", "f", "f", "e"]


def test_starts_by_hand(plan: Plan, graph: IntGraph) -> None:
    """Raw bipolar sums start at -n = -4: 4 bits a PE, two's complement; the padded row at 0."""
    text = rom.files(plan, graph)["rom/accel_fc_starts.mem"]
    assert data(text) == ["cc", "0c"]


def test_files_hold_the_packed_words(plan: Plan, graph: IntGraph) -> None:
    files = rom.files(plan, graph, "net2")
    assert sorted(files) == ["rom/net2_fc_starts.mem", "rom/net2_fc_weights.mem"]
    for unit in plan.units:
        if isinstance(unit, WeightRom | StartRom):
            words = (weight_words if isinstance(unit, WeightRom) else start_words)(plan, graph, unit)  # type: ignore[arg-type]
            name = "weights" if isinstance(unit, WeightRom) else "starts"
            lines = data(files[f"rom/net2_fc_{name}.mem"])
            assert [int(line, 16) for line in lines] == words
            assert all(re.fullmatch(rf"[0-9a-f]{{{-(-unit.width // 4)}}}", line) for line in lines)


def test_header_names_layer_and_shape(plan: Plan, graph: IntGraph) -> None:
    for text in rom.files(plan, graph).values():
        assert "fc, 4 x 2 x 2 to 3 x 2 x 2" in text.splitlines()[0]
