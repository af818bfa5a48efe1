"""The parts of a campaign on disk: chunks of events that outlive a kill, and shards that join into the whole.

While a campaign runs, each finished chunk lies as a trigger set of its own in a work folder beside the output. The
folder names its campaign in ``campaign.json``: the same command continues there, any other is refused.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import COLUMNS, SHAPE, TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.hdf5 import read_triggers_hdf5, write_triggers_hdf5
from slewguard.subimages.paths import read_bytes, reason

MADE_BY = "slewguard.sim"
_HEADER = "campaign.json"
_WHOLE = "whole.h5"
# Ours, finished or (with dots before it) left by a kill in the middle of writing.
_OURS = re.compile(r"\d{6}\.h5|whole\.h5|\.+(\d{6}|whole)(\.[0-9a-f]{8})+\.h5|\.campaign\.[0-9a-f]{8}\.json")


def collect(parts: Sequence[TriggerSet], provenance: Mapping[str, Any]) -> TriggerSet:
    """Put parts of a campaign together, ordered by event; the alerts of one event stay in their order.

    Parameters
    ----------
    parts : sequence of TriggerSet
        No event lies in two of them; a column is kept that each has.
    provenance : mapping
        Of the whole.
    """
    sequence = np.concatenate([np.zeros(0, COLUMNS["sequence"]), *(part.sequence for part in parts)])
    order = np.argsort(sequence, kind="stable")
    columns = {
        name: np.concatenate([np.zeros(0, dtype), *(part.columns[name] for part in parts)])[order]
        for name, dtype in COLUMNS.items()
        if all(name in part.columns for part in parts)
    }
    snr = np.concatenate([np.zeros((0, *SHAPE), np.float32), *(part.snr for part in parts)])[order]
    mask = np.concatenate([np.zeros((0, *SHAPE), np.uint8), *(part.mask for part in parts)])[order]
    return TriggerSet(snr, mask, columns, True, provenance)


def join(paths: Sequence[str | Path]) -> TriggerSet:
    """Join the shards of a campaign, in any order, into what one run would have given.

    Parameters
    ----------
    paths : sequence of path-like
        Trigger sets that ``simulate`` wrote: every shard of one campaign, each once.

    Raises
    ------
    BadInput
        If a file is not a shard, belongs to another campaign or comes twice, or a shard is missing.
    """
    parts: dict[int, TriggerSet] = {}
    places: dict[int, str | Path] = {}
    campaign: dict[str, Any] = {}
    n_shards = 0
    for path in paths:
        part = read_triggers_hdf5(path)
        mine = dict(part.provenance)
        shard = mine.pop("shard", None)
        if mine.get("made_by") != MADE_BY or not _is_shard(shard) or "sequence" not in part.columns:
            raise BadInput("is not a shard of a simulated campaign", path)
        index, n = shard
        if not parts:
            campaign, n_shards = mine, n
        if n != n_shards:
            raise BadInput(f"is one of {n} shards, {paths[0]} one of {n_shards}", path)
        if mine != campaign:
            raise BadInput(f"belongs to another campaign than {paths[0]}: {difference(mine, campaign)}", path)
        if index in parts:
            raise BadInput(f"is shard {index}/{n}, as {places[index]} is", path)
        parts[index], places[index] = part, path
    if not parts:
        raise BadInput("no shards to join")
    missing = [f"{i}/{n_shards}" for i in range(n_shards) if i not in parts]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise BadInput(f"of {n_shards} shards there lack {', '.join(missing[:5])}{more}")
    return collect([parts[i] for i in range(n_shards)], campaign | {"shard": [0, 1]})


def _is_shard(shard: object) -> bool:
    return (
        isinstance(shard, list)
        and len(shard) == 2
        and all(type(number) is int for number in shard)
        and 0 <= shard[0] < shard[1]
    )


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Say in a few words where two descriptions of a campaign differ first."""
    name = next(name for name in sorted({*one, *other}) if one.get(name) != other.get(name))
    return f"{name} is {_short(one.get(name))}, not {_short(other.get(name))}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."


class WorkFolder:
    """The finished chunks of a campaign, beside its output.

    Parameters
    ----------
    out : path-like
        The campaign's output; the folder is ``OUT.work``.
    header : mapping
        Whatever the bytes of the chunks depend on (JSON-able).
    """

    def __init__(self, out: str | Path, header: Mapping[str, Any]) -> None:
        self._out = out
        self._place = Path(os.path.realpath(out))
        self._header = json.loads(json.dumps(header))
        self.path = self._place.with_name(self._place.name + ".work")

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open the folder, or make it, for this process alone.

        Raises
        ------
        BadInput
            If nothing can be written there, or it holds another campaign, or another process is at work in it.
        """
        with self._told():
            if os.path.exists(self._place) and not os.path.isfile(self._place):
                raise BadInput("cannot be written: not a regular file", self._out)
            self.path.mkdir(exist_ok=True)
            try:
                if not (self.path / _HEADER).exists():
                    self._start()
            except BaseException:
                with suppress(OSError):  # not empty: somebody else's
                    self.path.rmdir()
                raise
            held = (self.path / _HEADER).open("rb")
        with held:
            _lock(held, self.path)
            self._check()
            yield

    def _start(self) -> None:
        for entry in self.path.iterdir():
            if not _OURS.fullmatch(entry.name):
                raise BadInput(
                    f"holds {entry.name!r:.80}, which slewguard did not write; work is not kept here", self.path
                )
        with atomic_output(self.path / _HEADER) as beside:
            beside.write_text(json.dumps(self._header, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _check(self) -> None:
        header = self.path / _HEADER
        try:
            found = json.loads(read_bytes(header, 2**20))
        except ValueError as error:
            raise error if isinstance(error, BadInput) else BadInput("is damaged; remove the folder", header) from error
        if not isinstance(found, dict) or found != self._header:
            differs = difference(found, self._header) if isinstance(found, dict) else "no JSON object"
            raise BadInput(
                f"holds an unfinished campaign that is another one ({differs}); finish it or remove the folder",
                self.path,
            )

    def _chunk(self, number: int) -> Path:
        return self.path / f"{number:06d}.h5"

    def _describe(self, number: int) -> dict[str, Any]:
        return self._header | {"chunk": number}

    def finished(self, n: int) -> set[int]:
        """Numbers below ``n`` of the chunks that are there, each read whole; a damaged one is made again."""
        found = set()
        for number in range(n):
            place = self._chunk(number)
            if not place.exists():
                continue
            with suppress(BadInput):
                if read_triggers_hdf5(place).provenance == self._describe(number):
                    found.add(number)
        return found

    def keep(self, number: int, part: TriggerSet) -> None:
        """Write a finished chunk; it exists whole or not at all, also when the power fails."""
        with atomic_output(self._chunk(number)) as beside:
            write_triggers_hdf5(beside, TriggerSet(part.snr, part.mask, part.columns, True, self._describe(number)))
            _to_disk(beside)

    def finish(self, n: int, provenance: Mapping[str, Any]) -> TriggerSet:
        """Put the output in its place, from its ``n`` chunks, and remove the folder."""
        whole = collect([read_triggers_hdf5(self._chunk(number)) for number in range(n)], provenance)
        with self._told():
            # Made in the folder: a kill meanwhile leaves nothing beside the output.
            write_triggers_hdf5(self.path / _WHOLE, whole)
            _to_disk(self.path / _WHOLE)
            os.replace(self.path / _WHOLE, self._place)
            for entry in self.path.iterdir():
                if _OURS.fullmatch(entry.name):
                    entry.unlink()
            (self.path / _HEADER).unlink()
        with suppress(OSError):  # somebody put a file there
            self.path.rmdir()
        return whole

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn an error of the operating system into one line that names the output."""
        try:
            yield
        except OSError as error:
            raise BadInput(f"cannot be written: {reason(error)}", self._out) from error


def _lock(held: IO[bytes], folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadInput("another process is at work on this campaign", folder) from None
    except OSError:
        pass  # a file system without locks


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
