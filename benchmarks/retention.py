"""Retention of bursts on a burst-enriched campaign: ``python -m slewguard.benchmarks.retention SET [--model MODEL]``.

SET is simulated where it does not exist (a killed run goes on where it ended), with the population of the year and
``rates.enrich`` times its bursts and new sources. Prints and stores (``benchmarks/results/retention.json``) the share
of burst sequences vetoed with its two-sided 95 % interval, each lost one with what may explain it, and how often the
classifier abstained; and what would be said of each look by itself, where nobody knows whether it is the first: the
certificate does not cover that. Exit code 1 where there are fewer than 2,000 burst sequences.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from slewguard.benchmarks.chain_sets import simulated, store
from slewguard.cli.chain import measure, show, show_figures
from slewguard.export.execute import NumpyClassifier
from slewguard.export.package import open_model
from slewguard.sim.chain import Kinds, Share
from slewguard.sim.config import SimConfig, config_of
from slewguard.subimages import Classifier, TriggerSet, Verdict, read_triggers

DAYS, SEED, ENRICH, ASKED = 560.0, 43, 20.0, 2000


def main() -> None:
    """Simulate or read, replay, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path, metavar="SET", help="trigger set; simulated there if it does not exist")
    parser.add_argument("--model", default="default")
    parser.add_argument("--days", type=float, default=DAYS)
    parser.add_argument("--enrich", type=float, default=ENRICH)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    if given.set.exists():
        triggers = read_triggers(given.set)
    else:
        config = SimConfig.model_validate({"rates": {"enrich": given.enrich}})
        triggers = simulated(given.set, config, given.days, given.seed, given.workers)
    config = config_of(triggers.provenance.get("config", {}), given.set)
    model = open_model(given.model)
    result, found = measure(triggers, model, config)
    vetoed = asdict(Share.of(result.bursts_vetoed, result.bursts))
    show(result, f"{model.name} over {result.days:g} days with {result.enrich:g} times the bursts")
    show_figures(found)
    alone = vetoed_alone(triggers, NumpyClassifier(model))
    for what, share in (
        ("slews lost", vetoed),
        ("with a veto on any look", found["bursts_vetoed_any_look_share"]),
        ("with a look that by itself is vetoed", alone["burst_sequences_share"]),
    ):
        value = 0.0 if share["value"] is None else share["value"]
        print(
            f"burst sequences {what}: {100 * value:.2f} % "
            f"[{100 * share['lo']:.2f}, {100 * share['hi']:.2f}] of {share['n']}"
        )
    enough = result.bursts >= ASKED
    seed = triggers.provenance.get("seed")
    told = {"seed": seed, "enough": enough, "bursts_vetoed_share": vetoed, "vetoed_alone": alone}
    store("retention.json", found | told)
    if not enough:
        print(f"only {result.bursts} burst sequences slew; {ASKED} are asked for: simulate more days", file=sys.stderr)
        sys.exit(1)


def vetoed_alone(triggers: TriggerSet, classifier: Classifier) -> dict[str, Any]:
    """Shares of burst sequences with a look, and of their looks, that are vetoed where each look stands alone."""
    each = replace(triggers, columns={**triggers.columns, "sequence": np.arange(len(triggers))})
    burst = Kinds.of(triggers).burst
    vetoed = burst & (classifier.judge(each).verdict == Verdict.VETO)
    sequences = [len(np.unique(triggers.sequence[of])) for of in (vetoed, burst)]
    return {
        "burst_sequences_share": asdict(Share.of(*sequences)),
        "burst_looks_share": asdict(Share.of(int(vetoed.sum()), int(burst.sum()))),
    }


if __name__ == "__main__":
    main()
