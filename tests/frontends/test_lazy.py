from __future__ import annotations

import os
import subprocess
import sys

import pytest

import xnorhw.frontends as frontends


def test_importing_the_frontends_loads_no_torch() -> None:
    code = "import sys, xnorhw.frontends; assert 'torch' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_names() -> None:
    for name in frontends.__all__:
        assert getattr(frontends, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        frontends.nothing  # noqa: B018
