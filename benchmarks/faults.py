"""Challenge the chain with faults and store what came of it: ``python -m slewguard.benchmarks.faults --triggers SET``.

SET holds at least 10,000 burst alerts, such as 1,200 days with five times as many bursts as nature sends. Needs
some six CPU minutes. A run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from slewguard.benchmarks.command import as_command

STORED = Path(__file__).parent / "results" / "faults.json"


def main() -> None:
    """Run the verb and store its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triggers", type=Path, required=True)
    parser.add_argument("--events", type=int, default=80)
    parser.add_argument("--out", type=Path, default=STORED)
    given = parser.parse_args()
    part = given.out.with_suffix(".part")
    words = ["faults", "default", "--triggers", str(given.triggers), "--events", str(given.events)]
    done = subprocess.run(
        [sys.executable, "-m", "slewguard.cli.main", *words, "--part", str(part), "--json", str(given.out)], check=False
    )
    if done.returncode == 0:
        part.unlink(missing_ok=True)
    sys.exit(done.returncode)


if __name__ == "__main__":
    as_command(main)
