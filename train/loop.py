"""The training loop: one cycle of the learning rate, progress after each epoch, and a state to resume from.

Every random number of an epoch follows from (seed, phase, epoch), and the whole state is written after each, so
a resumed run gives the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from slewguard.train.metrics import auc, rejection_at_retention
from slewguard.train.recipes import Recipe

_WARM_UP = 0.3
_CHUNK = 256


class Source(Protocol):
    """Labelled alerts as a network wants them."""

    label: NDArray[np.float32]
    weight: NDArray[np.float32]

    def batch(self, index: NDArray[np.intp], rng: np.random.Generator | None) -> Tensor:
        """Inputs of a batch, augmented where a generator is given."""
        ...


@dataclass(frozen=True)
class Progress:
    """What an epoch gave.

    Parameters
    ----------
    phase : str
        ``float`` or ``qat``.
    epoch, epochs : int
        Epochs done, of this phase's.
    loss : float
        Mean training loss.
    auc, rejection : float or None
        On the held-out sequences; rejection at 0.99 retention.
    seconds : float
        Since the run (or its resumption) started.
    """

    phase: str
    epoch: int
    epochs: int
    loss: float
    auc: float | None
    rejection: float | None
    seconds: float

    def figures(self) -> dict[str, Any]:
        """Everything but the time."""
        found = asdict(self)
        del found["seconds"]
        return found


@dataclass(frozen=True)
class Phase:
    """One stretch of training.

    Parameters
    ----------
    name : str
    number : int
        Enters the seeds.
    epochs, batch : int
    rate, decay : float
    tail : float
        A true alert's loss l counts as l (1 + tail l): what is asked of the score is the rejection at which hardly any
        true alert is lost, so that the lowest true scores matter more than the mean.
    """

    name: str
    number: int
    epochs: int
    batch: int
    rate: float
    decay: float
    tail: float = 0.0


def float_phase(recipe: Recipe) -> Phase:
    """Training in floating point."""
    return Phase("float", 0, recipe.epochs, recipe.batch, recipe.rate, recipe.decay, recipe.tail)


def qat_phase(recipe: Recipe) -> Phase:
    """Quantisation-aware training after it."""
    return Phase("qat", 1, recipe.qat_epochs, recipe.batch, recipe.qat_rate, 0.0, recipe.tail)


def use_one_thread() -> None:
    """Train and score on one thread from here on, for studies of many small networks."""
    torch.set_num_threads(1)


def one_cycle(step: int, steps: int, rate: float) -> float:
    """Learning rate of a step: up from a 25th along a cosine, then down to nothing (Smith & Topin 2018)."""
    rise = max(_WARM_UP * steps, 1)
    if step < rise:
        return rate * (1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * step / rise)) / 2)
    return rate * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2


class Trainer:
    """Trains a network through one phase, an epoch at a time."""

    def __init__(self, net: nn.Module, phase: Phase, seed: int) -> None:
        self.net = net
        self.phase = phase
        self.seed = seed
        self.optimiser = torch.optim.AdamW(net.parameters(), lr=phase.rate, weight_decay=phase.decay, fused=True)

    def epochs(
        self,
        first: int,
        source: Source,
        held_out: Source,
        after_step: Callable[[], None],
        started: float,
    ) -> Iterator[Progress]:
        """Train from epoch ``first`` on, and tell after each; ``started`` is of the monotonic clock."""
        for epoch in range(first, self.phase.epochs):
            loss = self._epoch(epoch, source, after_step)
            score = predict(self.net, held_out)
            yield Progress(
                self.phase.name,
                epoch + 1,
                self.phase.epochs,
                loss,
                auc(score, held_out.label),
                rejection_at_retention(score, held_out.label, 0.99),
                time.monotonic() - started,
            )

    def _epoch(self, epoch: int, source: Source, after_step: Callable[[], None]) -> float:
        phase, n = self.phase, len(source.label)
        rng = np.random.default_rng([self.seed, phase.number, epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        order = rng.permutation(n)
        # The last batch takes what is left over, rather than being too small for its statistics.
        batches = np.array_split(order, max(round(n / phase.batch), 1))
        steps = phase.epochs * len(batches)
        self.net.train()
        total = 0.0
        for i, index in enumerate(batches):
            for group in self.optimiser.param_groups:
                group["lr"] = one_cycle(epoch * len(batches) + i, steps, phase.rate)
            score = self.net(source.batch(index, rng))
            label, weight = torch.from_numpy(source.label[index]), torch.from_numpy(source.weight[index])
            each = F.binary_cross_entropy_with_logits(score, label, reduction="none")
            loss = (weight * each * (1 + phase.tail * label * each)).mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            after_step()
            total += loss.item() * len(index)
        return total / n

    def state(self) -> dict[str, Tensor]:
        """Everything that the next epoch depends on."""
        found = {f"net.{name}": tensor for name, tensor in named_tensors(self.net)}
        for i, parameter in enumerate(self.net.parameters()):
            for name, tensor in self.optimiser.state[parameter].items():
                found[f"optimiser.{i}.{name}"] = tensor
        return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in found.items()}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state` gave."""
        load_tensors(self.net, {name[4:]: t for name, t in state.items() if name.startswith("net.")})
        for i, parameter in enumerate(self.net.parameters()):
            start = f"optimiser.{i}."
            own = {name[len(start) :]: t for name, t in state.items() if name.startswith(start)}
            # The fused optimiser walks through memory: its state must lie as the parameter does.
            self.optimiser.state[parameter] = {
                name: torch.empty_like(parameter).copy_(t) if t.shape == parameter.shape else t.clone()
                for name, t in own.items()
            }


@torch.no_grad()
def predict(net: nn.Module, source: Source) -> NDArray[np.float32]:
    """Scores of all alerts of a source, float32 [N]; the network is left in evaluation mode."""
    net.eval()
    index = np.arange(len(source.label))
    parts = [net(source.batch(index[i : i + _CHUNK], None)) for i in range(0, len(index), _CHUNK)]
    scores: NDArray[np.float32] = torch.cat(parts).numpy()
    return scores


def named_tensors(net: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and buffers that hold a trained state (Brevitas keeps constants in buffers of its own)."""
    return [*net.named_parameters(), *((n, b) for n, b in net.named_buffers() if "quant" not in n)]


@torch.no_grad()
def load_tensors(net: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy tensors of the same names into a network.

    Raises
    ------
    ValueError
        If names or shapes differ.
    """
    own = dict(named_tensors(net))
    if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in tensors.items()}:
        raise ValueError("tensors do not fit the network")
    for name, tensor in tensors.items():
        own[name].copy_(tensor)
