"""The state of an unfinished training run, in one file beside the run folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.errors import BadInput


@dataclass(frozen=True)
class Saved:
    """A state as it was loaded.

    Parameters
    ----------
    phase, epoch : int
        Number of the phase, and epochs done of it.
    history : list of dict
    tensors : mapping of str to tensor
    """

    phase: int
    epoch: int
    history: list[dict[str, Any]]
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """Tensors under one heading, without it."""
        start = name + "."
        return {key[len(start) :]: tensor for key, tensor in self.tensors.items() if key.startswith(start)}


class Checkpoint:
    """Writes and reads the state; another run's is refused.

    Parameters
    ----------
    path : Path
    run : mapping
        What the run follows from (its provenance).
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self._path = path
        self._run = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()

    def save(self, phase: int, epoch: int, history: list[dict[str, Any]], tensors: Mapping[str, Tensor]) -> None:
        """Write the state, whole or not at all."""
        from safetensors.torch import save_file

        about = {"run": self._run, "phase": phase, "epoch": epoch, "history": history}
        with atomic_output(self._path) as beside:
            save_file(dict(tensors), beside, metadata={"state": json.dumps(about)})

    def load(self) -> Saved | None:
        """Read the state; None where there is none.

        Raises
        ------
        BadInput
            If the file is no checkpoint or one of another run.
        """
        from safetensors import SafetensorError, safe_open

        if not self._path.exists():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            run, phase, epoch, history = (about[key] for key in ("run", "phase", "epoch", "history"))
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise BadInput("not a checkpoint of slewguard", self._path) from error
        if run != self._run:
            raise BadInput("checkpoint is of another run (data, recipe, seed, threads or versions)", self._path)
        return Saved(phase, epoch, history, tensors)

    def remove(self) -> None:
        """Delete the file, if there is one."""
        self._path.unlink(missing_ok=True)
