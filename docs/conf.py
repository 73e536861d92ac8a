"""Sphinx configuration."""

import pathlib
import re

_INIT = pathlib.Path(__file__).parent.parent / "xnorhw" / "__init__.py"

project = "xnorhw"
author = "the xnorhw developers"
copyright = "the xnorhw developers"
release = re.search(r'__version__ = "(.+)"', _INIT.read_text(encoding="utf-8")).group(1)  # type: ignore[union-attr]

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "binary networks to proven accelerators",
    "fixed_sidebar": True,
    "page_width": "1080px",
}
html_show_copyright = False
myst_heading_anchors = 3
