"""The chain under faults, wired to a model: what :mod:`slewguard.sim.faults` cannot know of, and the whole run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slewguard.embedded.upsets import HeldWeights
from slewguard.export.model import IntegerModel, model_from_json
from slewguard.export.planes import make_planes
from slewguard.sim.chain import Share
from slewguard.sim.chain_loop import Passage, pass_alerts
from slewguard.sim.chain_state import BITS, SequenceTrack, opened
from slewguard.sim.faults import CHALLENGES, SHARE, Found, challenge, compare
from slewguard.sim.faults_physical import KINDS as PHYSICAL
from slewguard.sim.faults_physical import Seen, counterfactual
from slewguard.sim.timeline import events
from slewguard.subimages import BadInput, Judgement, TriggerSet, Verdict, places
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import BURST_CAUSES, CENTRE, FALSE, TRUE

if TYPE_CHECKING:
    from slewguard.sim.config import SimConfig
    from slewguard.subimages.verdict import Classifier

MEMORY = ("weights", "state of the classifier")
"""Kinds of memory faults beside that of the guard; each is made with and without the check that finds it."""
UNCHECKED = "memory without its check"
PART = 2500
"""Alerts on which kinds are shown that need no more."""
_FILE_FLIPS = 200

_MANY_DAYS = 100_000
Rng = np.random.Generator


class Remembered:
    """The model's rule on scores that one engine gave before: asked again and again, it costs little.

    Parameters
    ----------
    model : IntegerModel
    triggers : TriggerSet
        Every sub-image that will be asked about.
    """

    def __init__(self, model: IntegerModel, triggers: TriggerSet) -> None:
        from slewguard.cli.engines import open_classifier

        self._rule = model.verdict
        said = open_classifier(model, "c").judge(triggers)
        keys = (_key(triggers, i) for i in range(len(triggers)))
        self._said = dict(zip(keys, zip(said.score.tolist(), said.reason.tolist(), strict=True), strict=True))
        if len(self._said) != len(triggers):
            raise BadInput("two sub-images are the same")

    def judge(self, triggers: TriggerSet) -> Judgement:
        """Judge; see :class:`slewguard.subimages.Classifier`."""
        said = np.array([self._said[_key(triggers, i)] for i in range(len(triggers))]).reshape(-1, 2)
        score, reason = said[:, 0].astype(np.int8), said[:, 1].astype(np.uint8)
        return Judgement(score, self._rule.decide_looks(score, reason, places(triggers)), reason)


def _key(triggers: TriggerSet, i: int) -> bytes:
    """The rows about the trigger pixel: noise makes them unlike those of any other sub-image."""
    return triggers.snr[i, CENTRE - 4 : CENTRE + 5].tobytes()


class OnBoard:
    """The C code as it flies: one look at a time, with a state of four bytes for each place kept between looks.

    Before each look bits may flip, in the weights or in the state. After it the weights are loaded anew, as a scrubber
    would do from the second copy.

    Parameters
    ----------
    model : IntegerModel
    held : HeldWeights
    upset : callable
        Given this object, flips bits.
    checked : bool
        Whether check sums are looked at, as they must be. Without, it is shown what for.
    """

    def __init__(self, model: IntegerModel, held: HeldWeights, upset: Callable[[OnBoard], None], checked: bool) -> None:
        self._model, self._upset, self._checked = model, upset, checked
        self.held = held
        self.memory: dict[tuple[int, int], int] = {}

    def judge(self, looks: TriggerSet) -> Judgement:
        """Judge the last look of a sequence; of those before, the state alone is used."""
        at = places(looks).tolist()
        key = int(looks.sequence[-1]), at[-1]
        if at.count(at[-1]) == 1:
            self.memory[key] = SequenceTrack().sealed()
        self._upset(self)
        try:
            return self._judge(looks, key)
        finally:
            self.held.load()

    def _judge(self, looks: TriggerSet, key: tuple[int, int]) -> Judgement:
        n = len(looks)
        last = looks.select(np.array([n - 1]))
        track = opened(self.memory[key]) if self._checked else _unsealed(self.memory[key])
        if track is None:
            raise RuntimeError("the sequence's state is damaged")
        if self._checked and not self.held.intact():
            raise RuntimeError("the weights are damaged")
        reason, score, verdict = int(last.rejected[0]), 0, Verdict.ABSTAIN
        if not reason:
            planes = make_planes(last.snr, last.mask, last.catalogue_id, self._model.planes)
            verdict, reason, score, used, maximum = self.held.judge(planes[0], track.looks, track.maximum)
            self.memory[key] = track._replace(looks=used, maximum=maximum).sealed()
        # Where the weights are not even an object for this code it says so in a way of its own.
        known = reason < 15
        said = np.zeros((3, n), dtype=np.int16)
        said[:, -1] = (score, verdict, reason if known else 0)
        return Judgement(said[0].astype(np.int8), said[1].astype(np.uint8), said[2].astype(np.uint8))


def _unsealed(word: int) -> SequenceTrack:
    data = word.to_bytes(BITS // 8, "big")
    return SequenceTrack(data[0], bool(data[1]), data[2], data[3] - 128)


def _flip_weights(rng: Rng) -> Callable[[OnBoard], None]:
    def upset(board: OnBoard) -> None:
        board.held.flip(rng.choice(board.held.bits, size=int(rng.integers(1, 9)), replace=False).tolist())

    return upset


def _flip_state(rng: Rng) -> Callable[[OnBoard], None]:
    def upset(board: OnBoard) -> None:
        if rng.random() < SHARE:
            hit = list(board.memory)[-1]
            for bit in rng.choice(BITS, size=int(rng.integers(1, 7)), replace=False).tolist():
                board.memory[hit] ^= 1 << bit

    return upset


def chosen(triggers: TriggerSet, n_false: int, seed: int) -> TriggerSet:
    """Every sequence with a true alert of a burst, and some without a true alert.

    Raises
    ------
    BadInput
        If the set lacks a column that the chain needs.
    """
    for name in ("label", "cause", "sequence", "peak_snr", "time_s"):
        if name not in triggers.columns:
            raise BadInput(f"trigger set has no /{name}, which faults need")
    burst = (triggers.label == TRUE) & np.isin(triggers.cause, BURST_CAUSES)
    false = np.setdiff1d(triggers.sequence[triggers.label == FALSE], triggers.sequence[triggers.label != FALSE])
    rng = np.random.Generator(np.random.Philox(key=seed))
    kept = rng.choice(false, size=min(n_false, len(false)), replace=False)
    return triggers.select(np.isin(triggers.sequence, np.concatenate([triggers.sequence[burst], kept])))


def kinds() -> list[tuple[str, str]]:
    """Every kind of fault but the physical ones, as (family, kind)."""
    found = [(family, kind) for family, each in CHALLENGES.items() for kind in each]
    found += [("memory", kind) for kind in MEMORY]
    return found + [(UNCHECKED, kind) for kind in MEMORY]


def run_kinds(
    model: IntegerModel,
    triggers: TriggerSet,
    slew_threshold: float,
    seed: int,
    done: Sequence[Mapping[str, Any]] = (),
) -> Iterator[dict[str, Any]]:
    """Challenge the chain with every kind of fault that is not physical.

    Parameters
    ----------
    model : IntegerModel
    triggers : TriggerSet
        As of :func:`chosen`. Kinds that need not be shown on every alert (those of the classifier, and memory without
        its check) meet the first ``PART`` alone.
    slew_threshold : float
    seed : int
    done : sequence of dict
        Results that need not be found again.

    Yields
    ------
    dict
        :class:`slewguard.sim.faults.Found` as plain data.
    """
    classifier: Classifier = Remembered(model, triggers)
    whole = triggers, pass_alerts(triggers, classifier, slew_threshold)
    few = triggers.select(np.isin(triggers.sequence, triggers.sequence[:PART]))
    part = few, pass_alerts(few, classifier, slew_threshold)
    held = HeldWeights(model)
    known = {(row["family"], row["kind"]) for row in done}
    for number, (family, kind) in enumerate(kinds()):
        if (family, kind) in known:
            continue
        given, clean = whole if family in ("transport", "clock", "memory") else part
        key = seed + (number << 32)
        if kind in CHALLENGES.get(family, {}):
            found = challenge(family, kind, given, classifier, slew_threshold, clean, key)
        else:
            found = _memory(family, kind, model, held, given, slew_threshold, clean, key)
        yield asdict(found)


def _memory(
    family: str,
    kind: str,
    model: IntegerModel,
    held: HeldWeights,
    triggers: TriggerSet,
    slew_threshold: float,
    clean: Passage,
    seed: int,
) -> Found:
    rng = np.random.Generator(np.random.Philox(key=seed))
    upset = _flip_weights(rng) if kind == "weights" else _flip_state(rng)
    board = OnBoard(model, held, upset, checked=family == "memory")
    return compare(family, kind, triggers, clean, pass_alerts(triggers, board, slew_threshold, ahead=False))


def damaged_files(model: IntegerModel, seed: int, n: int = _FILE_FLIPS) -> dict[str, int]:
    """Flip one bit of ``model.json`` n times and read it.

    Returns
    -------
    dict
        ``files``; of them ``refused``, and read as the ``same`` model (a flip that changes no meaning, such as the
        case of an exponent); the rest are ``accepted``, which must be none.
    """
    rng = np.random.Generator(np.random.Philox(key=seed))
    text = model.to_json().encode()
    refused = same = 0
    for bit in rng.integers(0, 8 * len(text), n).tolist():
        damaged = bytearray(text)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            same += model_from_json(damaged.decode()) == model
        except (BadInput, UnicodeDecodeError):
            refused += 1
    return {"files": n, "refused": refused, "same": same, "accepted": n - refused - same}


def run_events(
    model: IntegerModel, config: SimConfig, n: int, seed: int, done: Sequence[Mapping[str, Any]] = ()
) -> Iterator[dict[str, Any]]:
    """Show bursts to the chain with and without physical faults, until n of them ask for a slew without any.

    Parameters
    ----------
    model : IntegerModel
    config : SimConfig
    n : int
    seed : int
        Of the time line whose bursts are taken, from the first on.
    done : sequence of dict
        Results that need not be found again.

    Yields
    ------
    dict
        ``sequence``; ``kept`` without a fault; and under each kind of fault in ``under`` whether the burst still
        ``asks`` for a slew and is ``kept``, None where the fault has nothing to act on.
    """
    from slewguard.cli.engines import open_classifier

    classifier = open_classifier(model, "c")

    def kept(seen: Seen) -> bool:
        if not seen.images:
            return False
        alerts = TriggerSet.of(seen.images, simulated=True)
        verdict = pass_alerts(alerts, classifier, config.trigger.slew_threshold).verdict
        return bool((seen.asks & (verdict != Verdict.VETO)).any())

    found, last = len(done), max((int(row["sequence"]) for row in done), default=-1)
    for event in events(config, _MANY_DAYS, seed):
        if found >= n:
            return
        if event.cause not in BURST_CAUSES or event.sequence <= last:
            continue
        pair = counterfactual(config, seed, event)
        if pair is None:
            continue
        found += 1
        under = {
            kind: None if seen is None else {"asks": bool(seen.asks.any()), "kept": kept(seen)}
            for kind, seen in pair.under.items()
        }
        yield {"sequence": event.sequence, "cause": event.cause, "kept": kept(pair.without), "under": under}


def physical_shares(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Share of bursts that are vetoed only because of a physical fault, for each kind.

    Its n counts bursts that are kept without the fault and still ask for a slew with it; of ``applied`` bursts on
    which the fault could act, ``silent`` ask for none any more whatever the classifier says.
    """
    shares = []
    for kind in PHYSICAL:
        told = [row["under"][kind] for row in rows if row["kept"] and row["under"][kind] is not None]
        asking = [one for one in told if one["asks"]]
        vetoed = sum(not one["kept"] for one in asking)
        shares.append(
            {
                "kind": kind,
                "applied": len(told),
                "silent": len(told) - len(asking),
                "vetoed": vetoed,
                "vetoed_share": asdict(Share.of(vetoed, len(asking))),
            }
        )
    return shares


def measure(
    model: IntegerModel,
    triggers: TriggerSet,
    config: SimConfig,
    *,
    n_events: int,
    seed: int,
    part: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run all challenges; with ``part``, a file that is written on the way and from which a killed run goes on.

    Parameters
    ----------
    model : IntegerModel
    triggers : TriggerSet
        As of :func:`chosen`.
    config : SimConfig
        For the slew threshold and the physical faults.
    n_events : int
        As of :func:`run_events`.
    seed : int
    part : Path, optional
    progress : callable, optional
        Called with what is done and the total.
    """
    head = {
        "model_sha256": model.sha256,
        "config_sha256": config.digest(),
        "alerts_sha256": sha256(triggers.snr.tobytes() + triggers.sequence.tobytes()).hexdigest(),
        "seed": seed,
    }
    state: dict[str, Any] = {"head": head, "kinds": [], "events": []}
    if part is not None and part.is_file():
        try:
            before = json.loads(part.read_text(encoding="utf-8"))
            state = before if before["head"] == head else state
        except (ValueError, KeyError, TypeError):
            pass  # not ours, or cut short: start anew
    steps: list[tuple[str, Iterator[dict[str, Any]]]] = [
        ("kinds", run_kinds(model, triggers, config.trigger.slew_threshold, seed, list(state["kinds"]))),
        ("events", run_events(model, config, n_events, seed, list(state["events"]))),
    ]
    total = len(kinds()) + n_events
    for name, results in steps:
        for row in results:
            state[name].append(row)
            if part is not None:
                with atomic_output(part) as beside:
                    beside.write_text(json.dumps(state), encoding="utf-8")
            if progress is not None:
                progress(len(state["kinds"]) + len(state["events"]), total)
    result = {**head, "kinds": state["kinds"], "model_files": damaged_files(model, seed)}
    return {**result, "events": len(state["events"]), "physical": physical_shares(state["events"])}


def passed(result: Mapping[str, Any]) -> bool:
    """Whether no fault of transport, clock, classifier or memory made a veto and every alert is accounted for."""
    protected = [row for row in result["kinds"] if row["family"] != UNCHECKED]
    sound = all(row["newly_vetoed"] == row["unaccounted"] == 0 for row in protected)
    return sound and result["model_files"]["accepted"] == 0
