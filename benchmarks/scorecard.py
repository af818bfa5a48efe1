"""Store and render the scorecard: ``python -m slewguard.benchmarks.scorecard [--from TRIGGERS.h5]``.

The figures go to ``benchmarks/results/scorecard.json`` and, as tables, between the markers of ``docs/scorecard.md``;
``--render`` only does the latter, from what is stored.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from slewguard.benchmarks.command import as_command
from slewguard.cli.scorecard import show
from slewguard.sim.config import SimConfig, load_config
from slewguard.sim.scorecard import as_markdown
from slewguard.subimages.atomic import atomic_output

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "scorecard.json"
PAGE = ROOT / "docs" / "scorecard.md"
MARKER = "<!-- scorecard -->"


def rendered(page: str, tables: str) -> str:
    """Put tables between the two markers of a page.

    Raises
    ------
    ValueError
        If the page does not hold exactly two markers.
    """
    parts = page.split(MARKER)
    if len(parts) != 3:
        raise ValueError(f"the page must hold {MARKER} twice")
    return f"{parts[0]}{MARKER}\n\n{tables}\n{MARKER}{parts[2]}"


def main() -> None:
    """Measure, store, render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="triggers", type=Path, help="campaign to read instead of simulating one")
    parser.add_argument("--days", type=float, default=365.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--render", action="store_true", help="only render what is stored")
    parser.add_argument("--json", type=Path, default=RESULT, help="file to write, or to render")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    if not arguments.render:
        show(
            load_config(arguments.config) if arguments.config else SimConfig(),
            seed=arguments.seed,
            days=arguments.days,
            workers=arguments.workers,
            triggers_from=arguments.triggers,
            json_to=str(arguments.json),
        )
    card = json.loads(arguments.json.read_text(encoding="utf-8"))
    page = rendered(arguments.page.read_text(encoding="utf-8"), as_markdown(card))
    with atomic_output(arguments.page) as beside:
        beside.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    as_command(main)
