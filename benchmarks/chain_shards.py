"""The same ledger however the days are cut: ``python -m slewguard.benchmarks.chain_shards [--kills N]``.

Ten simulated days in one process; in 16 shards; and N times with a kill -9 at a random moment, in turn of a worker
process (which is replaced) and of the whole command (which is run again). Each time the chain's ledger must be the
same to the byte. Stored in ``benchmarks/results/chain_shards.json``; exit code 1 if one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from slewguard.benchmarks.chain_sets import store
from slewguard.benchmarks.command import as_command

DAYS, SEED, SHARDS = 10.0, 41, 16
_MISSES = 20
_COMMAND = (sys.executable, "-m", "slewguard.cli.main")


def simulate_words(out: Path, days: float, *more: object) -> list[str]:
    """Command that simulates the days into a file."""
    return [*_COMMAND, "simulate", *map(str, ("--days", days, "--seed", SEED, "--out", out, *more))]


def ledger_sha256(folder: Path, sets: list[Path], model: str) -> str:
    """SHA-256 of the ledger's bytes over a set or the shards of one."""
    place = folder / "ledger.csv"
    words = [word for path in sets for word in ("--triggers", str(path))]
    subprocess.run([*_COMMAND, "chain", model, *words, "--ledger", str(place)], check=True, capture_output=True)
    return hashlib.sha256(place.read_bytes()).hexdigest()


def workers_of(pid: int) -> list[int]:
    """Worker processes of a running campaign (Linux)."""
    found = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(child)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def run_killed(out: Path, days: float, after_s: float, whole: bool, rng: random.Random) -> bool:
    """Simulate with two workers and kill one, or the command itself, after some seconds.

    Returns
    -------
    bool
        Whether something was there to kill.
    """
    words = simulate_words(out, days, "--workers", 2)
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ends = time.monotonic() + after_s
    while time.monotonic() < ends and running.poll() is None:
        time.sleep(0.02)
    while running.poll() is None and not workers_of(running.pid):
        time.sleep(0.02)
    killed = False
    if running.poll() is None:
        victim = running.pid if whole else rng.choice(workers_of(running.pid) or [0])
        if victim:
            os.kill(victim, signal.SIGKILL)
            killed = True
    if running.wait() != 0:
        subprocess.run(words, check=True, capture_output=True)
    return killed


def main() -> None:
    """Run, compare, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--days", type=float, default=DAYS)
    parser.add_argument("--kills", type=int, default=10)
    given = parser.parse_args()
    rng = random.Random(SEED)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole.h5"
        begun = time.monotonic()
        subprocess.run(simulate_words(whole, given.days, "--workers", 2), check=True, capture_output=True)
        took = time.monotonic() - begun
        expected = ledger_sha256(folder, [whole], given.model)
        rows.append({"case": "one process", "ledger_sha256": expected, "equal": True})
        shards = [folder / f"{i}.h5" for i in range(SHARDS)]
        for i, shard in enumerate(shards):
            words = simulate_words(shard, given.days, "--shard", f"{i}/{SHARDS}", "--workers", 1)
            subprocess.run(words, check=True, capture_output=True)
        rng.shuffle(shards)
        found = ledger_sha256(folder, shards, given.model)
        rows.append({"case": f"{SHARDS} shards", "ledger_sha256": found, "equal": found == expected})
        print(*rows[-1].values(), flush=True)
        kills = missed = 0
        while kills < given.kills:
            out = folder / f"killed{kills}.h5"
            after = rng.uniform(0.1, 0.9) * took
            if not run_killed(out, given.days, after, kills % 2 == 1, rng):
                out.unlink()
                missed += 1
                if missed > _MISSES:
                    sys.exit(f"in {given.days:g} days nothing runs long enough to be killed")
                took *= 0.8  # the machine is faster now
                continue
            found = ledger_sha256(folder, [out], given.model)
            what = "the command" if kills % 2 == 1 else "a worker"
            case = f"kill -9 of {what}"
            rows.append({"case": case, "after_s": round(after, 2), "ledger_sha256": found, "equal": found == expected})
            kills += 1
            print(*rows[-1].values(), flush=True)
    equal = all(row["equal"] for row in rows)
    print(f"{len(rows)} ledgers {'equal' if equal else 'DIFFER'}")
    store("chain_shards.json", {"days": given.days, "seed": SEED, "equal": equal, "rows": rows})
    if not equal:
        sys.exit(1)


if __name__ == "__main__":
    as_command(main)
