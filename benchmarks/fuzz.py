"""Fuzz every reader of files: ``python -m slewguard.benchmarks.fuzz [--n 100000] [--kinds onnx,json] [--json FILE]``.

Mutated files are read in child processes that have 1 GB of address space (imports counted) and some seconds a file.
What may come of a file:

=========  =================================================================================================
error      ``BadInput`` with one printable line that names the file
same       a model equal to that of an original
stated     another model, the very one that the file states with its right hash
read       a trigger set that keeps the contract
=========  =================================================================================================

Everything else is a failure: ``other`` (a model or set that the file does not state), ``exception`` (any but
``BadInput``, no memory among them), ``crash`` (the process died) and ``hang``. Every failure is listed with the
command that repeats it; ``--keep`` saves its file. Exit code 1 if there was one.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.fuzz_kinds import KINDS, Kind
from slewguard.sim.threads import one_thread_for_children
from slewguard.subimages import BadInput
from slewguard.subimages.errors import printable

ADDRESS_SPACE = 10**9
SECONDS = 5.0
"""For one file; the slowest valid one takes some hundredths of that."""
FAILURES = ("other", "exception", "crash", "hang")
OUTCOMES = ("error", "same", "stated", "read", *FAILURES)
_START_SECONDS = 120.0
_LONGEST_LINE = 500
_CHUNK = 2500
_LOG = 2000


@dataclass(frozen=True)
class Outcome:
    """What came of one file: one of :data:`OUTCOMES`, why, and how long it took (where the child lived to say)."""

    index: int
    outcome: str
    detail: str
    seconds: float = 0.0


@dataclass
class Tally:
    """Outcomes of one kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: set[str] = field(default_factory=set)
    failures: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    slowest: Outcome = field(default_factory=lambda: Outcome(-1, "", ""))

    def add(self, found: Outcome) -> None:
        """Count one outcome."""
        self.outcomes[found.outcome] += 1
        self.seconds += found.seconds
        if found.seconds > self.slowest.seconds:
            self.slowest = found
        if found.outcome in FAILURES:
            self.failures.append(found)
        elif found.outcome == "error":
            # Numbers and names are the file's; what is left tells how many checks were reached.
            self.faults.add(re.sub(r"'.*'|\(.*\)|[0-9].*", "", found.detail)[:40])


def fuzz(
    kinds: Mapping[str, Kind], n: int, *, seed: int = 0, workers: int = 1, seconds: float = SECONDS, quiet: bool = True
) -> dict[str, Tally]:
    """Read ``n`` mutated files of each kind.

    Parameters
    ----------
    kinds : mapping of Kind
        By name; what they hold must be importable by a new process.
    n : int
    seed : int
    workers : int
        Child processes at a time; the outcomes do not follow their number.
    seconds : float
        Wall-clock limit for one file.
    quiet : bool
        Print no progress.

    Returns
    -------
    dict of Tally
        By name of the kind.
    """
    tallies = {name: Tally() for name in kinds}
    chunks = [(name, start, min(n, start + _CHUNK)) for start in range(0, n, _CHUNK) for name in kinds]
    began, done = time.monotonic(), 0
    with one_thread_for_children(), ThreadPoolExecutor(workers) as pool:

        def work(name: str, start: int, stop: int) -> list[Outcome]:
            return run_range(name, kinds[name], seed, start, stop, seconds)

        for (name, start, stop), found in zip(chunks, pool.map(work, *zip(*chunks, strict=True)), strict=True):
            for outcome in found:
                tallies[name].add(outcome)
            done += stop - start
            if not quiet:
                bad = sum(len(tally.failures) for tally in tallies.values())
                rate = done / (time.monotonic() - began)
                print(f"{done} of {n * len(kinds)} files, {bad} failures, {rate:.0f}/s", file=sys.stderr, flush=True)
    return tallies


def run_range(name: str, kind: Kind, seed: int, start: int, stop: int, seconds: float = SECONDS) -> list[Outcome]:
    """Read the mutated files ``start`` to ``stop - 1`` in a child; where it dies, in another from the next file on.

    Returns
    -------
    list of Outcome
        One a file, in order.

    Raises
    ------
    RuntimeError
        If a child ends before it could read a file.
    """
    context = multiprocessing.get_context("spawn")
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        while start + len(found) < stop:
            receive, send = context.Pipe(duplex=False)
            work = (name, kind, seed, start + len(found), stop, seconds, folder)
            child = context.Process(target=_child, args=(send, *work), daemon=True)
            child.start()
            send.close()
            ready = False
            with receive:
                try:
                    ready = receive.recv() == "ready"
                    while True:
                        found.append(receive.recv())
                except EOFError:
                    pass
            child.join()
            if not ready:
                raise RuntimeError(
                    f"child for {name} files ended with {child.exitcode} before its first file: {_tail(log)}"
                )
            if start + len(found) < stop:
                found.append(_death(start + len(found), child.exitcode or 0, log))
            elif child.exitcode != 0:  # what the last file broke came out at the end
                found[-1] = _death(stop - 1, child.exitcode or 0, log)
    return found


def _child(
    send: Connection, name: str, kind: Kind, seed: int, start: int, stop: int, seconds: float, folder: str
) -> None:
    log = os.open(Path(folder) / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable(log)
    # The dump is written even inside C code that loops; then the default action ends the process.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.register(signal.SIGALRM, log, chain=True)
    signal.setitimer(signal.ITIMER_REAL, _START_SECONDS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    path = Path(folder) / f"file{kind.suffix}"
    path.write_bytes(next(iter(kind.originals().values())))
    _judge(kind, path)
    send.send("ready")
    for index in range(start, stop):
        signal.setitimer(signal.ITIMER_REAL, seconds + 1)
        path.write_bytes(kind.mutant(name, seed, index))
        signal.setitimer(signal.ITIMER_REAL, seconds)
        began = time.perf_counter()
        outcome, detail = _judge(kind, path)
        send.send(Outcome(index, outcome, detail, time.perf_counter() - began))
    signal.setitimer(signal.ITIMER_REAL, 0)


def _judge(kind: Kind, path: Path) -> tuple[str, str]:
    try:
        return kind.judge(path), ""
    except BadInput as error:
        line = str(error)
        if not line.startswith(f"{path}: ") or not line.isprintable() or len(line) - len(str(path)) > _LONGEST_LINE:
            return "exception", f"BadInput with no clear line: {printable(line[:_LONGEST_LINE])}"
        return "error", line.removeprefix(f"{path}: ")
    except (Exception, SystemExit) as error:
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        where = f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}" if last else "?"
        return "exception", printable(f"{type(error).__name__} in {where}: {str(error)[:200]}")


def _death(index: int, code: int, log: Path) -> Outcome:
    if code == -signal.SIGALRM:
        return Outcome(index, "hang", _tail(log))
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Outcome(index, "crash", f"{how} {_tail(log)}".rstrip())


def _tail(log: Path) -> str:
    """Where Python stood, from what faulthandler left, else the last words of the child."""
    said = log.read_text(errors="replace")[-_LOG:]
    frame = re.search(r'File "([^"]*)", line ([0-9]+) in (\S+)', said)
    return f"in {Path(frame[1]).name}:{frame[2]} {frame[3]}" if frame else printable(" ".join(said.split())[-200:])


def render(tallies: Mapping[str, Tally]) -> str:
    """Table of the outcomes for people."""
    rows = [["kind", "files", *OUTCOMES, "faults", "files/s", "slowest"]]
    for name, tally in tallies.items():
        n = tally.outcomes.total()
        counts = [f"{tally.outcomes[outcome]:,}" for outcome in OUTCOMES]
        rate = n / tally.seconds if tally.seconds else 0
        slowest = f"{tally.slowest.seconds:.2f} s"
        rows.append([name, f"{n:,}", *counts, str(len(tally.faults)), f"{rate:.0f}", slowest])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def summary(tallies: Mapping[str, Tally], seed: int) -> dict[str, Any]:
    """What ``--json`` stores."""
    from importlib import metadata

    packages = ("numpy", "onnx", "protobuf", "pydantic", "h5py", "astropy")
    return {
        "seed": seed,
        "address_space_bytes": ADDRESS_SPACE,
        "seconds_per_file": SECONDS,
        "versions": {"python": sys.version.split()[0], **{name: metadata.version(name) for name in packages}},
        "kinds": {
            name: {
                "n": tally.outcomes.total(),
                **{outcome: tally.outcomes[outcome] for outcome in OUTCOMES},
                "distinct_faults": len(tally.faults),
                "files_per_s": round(tally.outcomes.total() / tally.seconds, 1) if tally.seconds else None,
                "slowest_s": round(tally.slowest.seconds, 3),
                "slowest_index": tally.slowest.index,
            }
            for name, tally in tallies.items()
        },
        "failures": [
            {"file": f"{name}:{seed}:{bad.index}", "outcome": bad.outcome, "detail": bad.detail}
            for name, tally in tallies.items()
            for bad in tally.failures
        ],
    }


def main() -> None:
    """Fuzz, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="files in all (default 100000)")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"some of {','.join(KINDS)} (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--keep", type=Path, help="folder for the files that fail")
    parser.add_argument("--only", help="read one file alone, KIND:SEED:INDEX as the list of failures names it")
    arguments = parser.parse_args()
    if arguments.only:
        sys.exit(_only(parser, arguments.only, arguments.keep))
    names = arguments.kinds.split(",")
    if not set(names) <= set(KINDS) or arguments.n < len(names) or arguments.workers < 1:
        parser.error(f"kinds are {', '.join(KINDS)}; n is at least one of each, workers at least 1")
    kinds = {name: KINDS[name] for name in names}
    tallies = fuzz(kinds, arguments.n // len(kinds), seed=arguments.seed, workers=arguments.workers, quiet=False)
    print(render(tallies))
    result = summary(tallies, arguments.seed)
    for bad in result["failures"]:
        print(
            f"{bad['outcome']}: {bad['detail']}\n    python -m slewguard.benchmarks.fuzz --only {bad['file']} --keep ."
        )
        if arguments.keep:
            _keep(bad["file"], arguments.keep)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if result["failures"] else 0)


def _only(parser: argparse.ArgumentParser, file: str, folder: Path | None) -> int:
    found = re.fullmatch(r"(\w+):(-?[0-9]+):([0-9]+)", file)
    if found is None or found[1] not in KINDS:
        parser.error("--only takes KIND:SEED:INDEX")
    name, seed, index = found[1], int(found[2]), int(found[3])
    if folder:
        _keep(file, folder)
    with one_thread_for_children():
        (outcome,) = run_range(name, KINDS[name], seed, index, index + 1)
    print(f"{outcome.outcome} in {outcome.seconds:.3f} s: {outcome.detail}")
    return int(outcome.outcome in FAILURES)


def _keep(file: str, folder: Path) -> None:
    name, seed, index = file.split(":")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_{seed}_{index}{KINDS[name].suffix}"
    path.write_bytes(KINDS[name].mutant(name, int(seed), int(index)))


if __name__ == "__main__":
    as_command(main)
