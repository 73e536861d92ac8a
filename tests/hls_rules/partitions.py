"""How the ARRAY_PARTITION pragmas cut an array."""

from __future__ import annotations

from tests.hls_rules.model import Program, Var


def cut(program: Program, var: Var, dim: int) -> tuple[str, int]:
    """(type, factor) of the partition of dimension ``dim`` (from 0); ("", 1) where there is none."""
    for pragma in program.pragmas_on(var, "array_partition"):
        said = pragma.get("dim") or "1"
        wanted = int(said) if said.isdigit() else 1
        if wanted not in (0, dim + 1) or (pragma.has("off") and pragma.get("off") != "false"):
            continue
        kind = (pragma.get("type") or "complete").lower()
        factor = pragma.get("factor") or "1"
        if kind == "complete":
            return kind, var.dims[dim]
        return kind, max(1, int(factor)) if factor.isdigit() else 1
    return "", 1


def is_whole(program: Program, var: Var, dim: int | None = None) -> bool:
    """Whether dimension ``dim``, or every one, is cut into single elements."""
    dims = range(len(var.dims)) if dim is None else (dim,)
    return all(cut(program, var, d)[0] == "complete" or var.dims[d] == 1 for d in dims)
