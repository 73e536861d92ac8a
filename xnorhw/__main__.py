"""``python -m xnorhw`` is the command ``xnorhw``."""

from xnorhw.cli import main

main()
