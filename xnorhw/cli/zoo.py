"""``xnorhw zoo``: the networks that can be trained by name."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from xnorhw.cli.output import show, table

if TYPE_CHECKING:
    from xnorhw.nn.zoo import Entry

__all__ = ["zoo"]


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback with an error.")
def zoo(name: str | None, as_json: bool) -> None:
    """The networks of the papers, or all that is known of the one called NAME.

    MACs are multiply-accumulates a frame: of 1-bit weights and 1-bit activations, of binary or k-bit weights
    and codes of several bits, and in full precision.  An accuracy is what the source reports for
    its own training; only what was read there is given.

    \b
    Examples:
        xnorhw zoo
        xnorhw zoo resnet18-xnor
        xnorhw train lenet5 -o lenet5.pt
    """
    from xnorhw.nn.zoo import ENTRIES, entry

    entries = list(ENTRIES.values()) if name is None else [entry(name)]
    text = _table(entries) if name is None else _page(entries[0])
    show(as_json, [_tree(e) for e in entries], text)


def _tree(e: Entry) -> dict[str, Any]:
    return {
        "name": e.name,
        "title": e.title,
        "input": list(e.shape),
        "classes": e.classes,
        "data": e.data,
        "recipe": e.recipe,
        **asdict(e.figures),
        "accuracy": e.accuracy,
        "source": e.source,
        "deviates": e.deviates,
    }


def _table(entries: list[Entry]) -> str:
    rows: list[tuple[str, ...]] = [
        (
            "network",
            "input",
            "classes",
            "layers",
            "weights",
            "binary bits",
            "1-bit MACs",
            "k-bit MACs",
            "full MACs",
        )
    ]
    for e in entries:
        f = e.figures
        shape = "x".join(map(str, e.shape))
        numbers = (f.weights, f.binary_bits, f.macs_1bit, f.macs_kbit, f.macs_full)
        rows.append(
            (e.name, shape, f"{e.classes:,}", str(f.layers), *(f"{n:,}" if n else "" for n in numbers))
        )
    width = max(len(e.name) for e in entries)
    accuracies = [f"{e.name.ljust(width)}  {e.accuracy}; {e.source}" for e in entries]
    heading = f"{'network'.ljust(width)}  accuracy that its source reports; source"
    return "\n".join([table(rows, left=2), "", heading, *accuracies])


def _page(e: Entry) -> str:
    f = e.figures
    rows = [
        ("network", f"{e.name}: {e.title}"),
        ("input", f"raw pixels {' x '.join(map(str, e.shape))}, {e.classes:,} classes"),
        ("layers", f"{f.layers} with weights"),
        ("weights", f"{f.weights:,}, {f.binary_bits:,} bits of binary ones"),
        ("MACs", f"{f.macs_1bit:,} of 1 bit, {f.macs_kbit:,} of k bits, {f.macs_full:,} in full precision"),
        ("accuracy", e.accuracy),
        ("source", e.source),
        ("deviates", e.deviates or "in nothing that is known"),
        ("train", f"xnorhw train {e.name} --data {e.data} --recipe {e.recipe} -o {e.name}.pt"),
    ]
    return table(rows, left=2)
