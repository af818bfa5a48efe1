"""How a benchmark is run as a command: bad input gives one line and exit code 2, as with every verb."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from slewguard.subimages.errors import BadInput


def as_command(main: Callable[[], None]) -> None:
    """Call a benchmark's ``main``."""
    try:
        main()
    except BadInput as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        sys.exit(2)
