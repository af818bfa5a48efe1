"""Does the certificate hold? ``python -m slewguard.benchmarks.certificate [TRIGGERS.h5]``.

Two thousand times: thresholds by the rule of :mod:`slewguard.train.calibrate` from 299, 473 and 1,000 burst sequences
(the first n that allow no, one and a few losses), judged on 20,000 other sequences. The certificate promises that the
share of bursts vetoed exceeds 1 % in at most 5 % of the draws.

With continuous scores the share of the population below the r-th lowest of n is Beta(r, n - r + 1) distributed,
whatever the scores; the number of 20,000 others is then beta-binomial. Both give the exact share of broken promises, to
which the measured one is equal within its interval. A network's int8 scores tie, a tie is kept, and the promise is
broken less often than that: there the exact value is a bound.

Populations: the uniform distribution, for which the share below a threshold is the threshold; and, with TRIGGERS, the
sequence statistics of the default model on the burst sequences of a simulated trigger set, drawn with replacement.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import figure, table
from slewguard.benchmarks.provenance import put_table
from slewguard.export.execute import NumpyClassifier
from slewguard.export.model import IntegerModel
from slewguard.export.package import open_model
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.files import read_triggers
from slewguard.train.calibrate import CONFIDENCE, Levels, burst_statistics, data_hash, order_rank, veto_thresholds
from slewguard.train.metrics import is_burst, share

PAGE = Path(__file__).parent.parent / "docs" / "studies.md"
RESULT = Path(__file__).parent / "results" / "certificate.json"
SIZES = (299, 473, 1000)
DRAWS, OTHERS = 2000, 20_000
_AT_ONCE = 100

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[Any]]


def main() -> None:
    """Measure, store, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triggers", type=Path, nargs="?", help="simulated alerts that the model was not trained on")
    parser.add_argument("--model", default="default")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULT, help="file to write")
    parser.add_argument("--table", action="store_true", help="only render what is stored")
    given = parser.parse_args()
    if not given.table:
        result: dict[str, Any] = {"level": Levels().veto, "confidence": CONFIDENCE, "seed": given.seed}
        result["rows"] = rows("uniform", lambda rng, shape: rng.random(shape), lambda t: t, given.draws, given.seed)
        if given.triggers:
            triggers, model = read_triggers(given.triggers), open_model(given.model)
            scores = population(model, triggers)
            result["population"] = {
                "data_sha256": data_hash(triggers),
                "model_sha256": model.sha256,
                "burst_sequences": len(scores),
                "distinct_scores": len(np.unique(scores)),
            }
            result["rows"] += empirical_rows(scores, given.draws, given.seed)
        given.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    table = render(json.loads(given.json.read_text(encoding="utf-8")))
    if given.json == RESULT:
        put_table(PAGE, "certificate", table)
    print(table)


def population(model: IntegerModel, triggers: TriggerSet) -> NDArray[np.int64]:
    """Calibration score of every burst sequence of a set: its lowest running statistic, as thresholds are set by."""
    triggers = triggers.select(np.isin(triggers.sequence, triggers.sequence[is_burst(triggers)]))
    judgement = NumpyClassifier(model).judge(triggers)
    usable = (judgement.reason == 0) & (triggers.rejected == 0)
    return burst_statistics(judgement.score, triggers, usable, model.verdict.first_look)


def empirical_rows(scores: NDArray[np.int64], draws: int, seed: int) -> list[dict[str, Any]]:
    """Rows for scores drawn with replacement from those of a network."""
    ordered = np.sort(scores)

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.int64]:
        return ordered[rng.integers(len(ordered), size=shape)]

    def below(threshold: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.searchsorted(ordered, threshold, side="left") / len(ordered)

    return rows("int8", draw, below, draws, seed)


def rows(
    name: str, draw: Draw, below: Callable[[NDArray[Any]], NDArray[np.float64]], draws: int, seed: int
) -> list[dict[str, Any]]:
    """Calibrate and judge again and again.

    Parameters
    ----------
    name : str
        Of the population.
    draw : callable (rng, shape)
        Draws scores of burst sequences.
    below : callable
        Share of the population below thresholds.
    draws, seed : int

    Returns
    -------
    list of dict
        One for each n: ``n``, ``rank``; ``above_in_population`` and ``above_on_others``, the share of draws in which
        more than the level was vetoed, each with ``exact`` for continuous scores; ``mean_share`` vetoed.
    """
    from scipy.stats import beta, betabinom

    level = Levels().veto
    found = []
    for n in SIZES:
        rank = order_rank(n, level)
        rng = np.random.default_rng([seed, n])
        vetoed, counted = [], []
        for start in range(0, draws, _AT_ONCE):
            shape = min(_AT_ONCE, draws - start)
            thresholds = veto_thresholds(draw(rng, (shape, n)), level)
            vetoed.append(below(thresholds))
            counted.append((draw(rng, (shape, OTHERS)) < thresholds[:, None]).sum(axis=1))
        in_population, on_others = np.concatenate(vetoed), np.concatenate(counted)
        exact = float(beta.sf(level, rank, n - rank + 1))
        exact_on_others = float(betabinom.sf(round(level * OTHERS), OTHERS, rank, n - rank + 1))
        found.append(
            {
                "scores": name,
                "n": n,
                "rank": rank,
                "above_in_population": _statement(in_population > level, exact, continuous=name == "uniform"),
                "above_on_others": _statement(
                    on_others > level * OTHERS, exact_on_others, continuous=name == "uniform"
                ),
                "others": OTHERS,
                "mean_share": float(in_population.mean()),
                "exact_mean_share": rank / (n + 1),
            }
        )
    return found


def _statement(above: NDArray[np.bool_], exact: float, *, continuous: bool) -> dict[str, Any]:
    measured = share(int(above.sum()), len(above))
    equal = measured["lo"] <= exact <= measured["hi"]
    return {**measured, "exact": exact, "holds": equal if continuous else measured["lo"] <= exact}


def render(result: dict[str, Any]) -> str:
    """Markdown table of a stored result."""
    head = [
        "scores",
        "n",
        "losses allowed",
        "draws above 1 %: population",
        "exact",
        "on 20,000 others",
        "exact",
        "holds",
    ]
    lines = []
    for row in result["rows"]:
        pair = row["above_in_population"], row["above_on_others"]
        cells = [figure(one) for one in pair]
        exact = [f"{one['exact']:.4f}" for one in pair]
        holds = "yes" if all(one["holds"] for one in pair) else "no"
        lines.append(
            [row["scores"], str(row["n"]), str(row["rank"] - 1), cells[0], exact[0], cells[1], exact[1], holds]
        )
    return table(head, lines)


if __name__ == "__main__":
    as_command(main)
