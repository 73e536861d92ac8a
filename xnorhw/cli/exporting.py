"""``xnorhw export``: a model file -> QONNX."""

from __future__ import annotations

from pathlib import Path

import click

from xnorhw.cli.output import show

__all__ = ["export"]

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="The ONNX file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback with an error.")
def export(model: Path, out: Path, as_json: bool) -> None:
    """Write MODEL as QONNX, which FINN, hls4ml, qonnx and Netron read.

    Each node has the name of its PyTorch module.  What has no exact form in QONNX is refused.  `xnorhw
    import` makes the same network of the file again.

    \b
    Example:
        xnorhw export model.pt -o net.onnx
    """
    from xnorhw import ModelError, load

    if out.exists() and model.exists() and out.samefile(model):
        raise ModelError(
            "it would take the place of the model itself", module=str(out), remedy="Write to another file"
        )
    network = load(model)
    network.export(out)
    size = out.stat().st_size
    tree = {"file": str(out), "bytes": size, "layers": len(network.graph.nodes)}
    show(as_json, tree, f"{out}: {len(network.graph.nodes)} modules as QONNX, {size:,} bytes")
