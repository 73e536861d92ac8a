"""What a build tells of itself in several places must be one thing."""

from __future__ import annotations

import hashlib

from xnorhw.emit.store import StoredBuild
from xnorhw.ir.errors import FitError, VerifyError
from xnorhw.plan import Folding, LayerFolding, folding_of, read_folding
from xnorhw.plan.model import MatrixUnit, WeightRom

__all__ = ["check_folding_is_the_builds", "check_model_is_the_builds"]

REMEDY = "Build again with --folding to build another folding, or without to get the first one back"


def check_model_is_the_builds(stored: StoredBuild) -> None:
    """VerifyError where model.pt is not the file that the build was made from."""
    try:
        digest = hashlib.sha256(stored.model.read_bytes()).hexdigest()
    except OSError as error:
        raise VerifyError(
            f"cannot be read: {(error.strerror or str(error)).lower()}",
            module=str(stored.model),
            remedy="Build again",
        ) from None
    if digest != stored.info.model_sha256:
        raise VerifyError(
            "is not the model that this build was made from",
            module=str(stored.model),
            remedy="Build again from it, or put the first one back",
        )


def check_folding_is_the_builds(stored: StoredBuild) -> None:
    """VerifyError, naming the layer, where folding.json, plan.json and its units disagree."""
    plan = stored.plan
    for layer in plan.layers:
        unit = plan.unit(layer.matrix)
        assert isinstance(unit, MatrixUnit)
        if (layer.pe, layer.simd) != (unit.pe, unit.simd):
            _refuse(layer.name, f"{layer.pe} x {layer.simd}", "its matrix unit", f"{unit.pe} x {unit.simd}")
        source = next(e.source for e in plan.edges if e.target == unit.name and e.port == "weights")
        rom = plan.unit(source)
        wanted = unit.pe * unit.simd * unit.weight_bits, unit.groups * unit.folds
        if isinstance(rom, WeightRom) and (rom.width, rom.depth) != wanted:
            _refuse(
                layer.name,
                f"{wanted[1]} weight words of {wanted[0]} bits",
                "its memory",
                f"{rom.depth} of {rom.width}",
            )
    path = stored.folder / "folding.json"
    try:
        written = read_folding(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, FitError) as error:
        raise VerifyError(f"cannot be read: {error}", module=str(path), remedy=REMEDY) from None
    built = folding_of(plan)
    for entry in built.layers:
        found = _entry(written, entry.name)
        if found is None:
            raise VerifyError("folding.json has no entry for this layer", module=entry.name, remedy=REMEDY)
        planned, read = ((x.pe, x.simd, x.pixels) for x in (entry, found))
        if read != planned:
            _refuse(entry.name, _folded(*planned), "folding.json", _folded(*read))


def _entry(folding: Folding, name: str) -> LayerFolding | None:
    return next((layer for layer in folding.layers if layer.name == name), None)


def _folded(pe: int, simd: int, pixels: int) -> str:
    return f"{pe} x {simd}" + (f" x {pixels} pixels" if pixels > 1 else "")


def _refuse(layer: str, planned: str, where: str, found: str) -> None:
    raise VerifyError(
        f"the plan has the folding {planned}, {where} has {found}: the build was edited",
        module=layer,
        remedy=REMEDY,
    )
