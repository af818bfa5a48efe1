"""Retention of bursts on a burst-enriched campaign: ``python -m slewguard.benchmarks.retention SET [--model MODEL]``.

SET is simulated where it does not exist (a killed run goes on where it ended), with the population of the year and
``rates.enrich`` times its bursts and new sources. Prints and stores (``benchmarks/results/retention.json``) the share
of burst sequences vetoed with its two-sided 95 % interval, each lost one with what may explain it, and how often the
classifier abstained; what would be said of each look by itself, where nobody knows whether it is the first: the
certificate does not cover that; and what other veto thresholds would have given, which nobody may choose by this set
(the table of ``docs/chain.md``). Exit code 1 where there are fewer than 2,000 burst sequences.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slewguard.benchmarks.chain_sets import simulated, store
from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import table
from slewguard.benchmarks.provenance import put_table
from slewguard.cli.chain import measure, show, show_figures
from slewguard.export.execute import NumpyClassifier
from slewguard.export.package import open_model
from slewguard.export.verdict import VerdictRule
from slewguard.sim.chain import Kinds, Share, summarise
from slewguard.sim.chain_figures import vetoed_any_look
from slewguard.sim.chain_loop import pass_alerts
from slewguard.sim.config import SimConfig, config_of
from slewguard.subimages import Judgement, TriggerSet, Verdict, places, read_triggers

DAYS, SEED, ENRICH, ASKED = 560.0, 43, 20.0, 2000
PAGE = Path(__file__).parent.parent / "docs" / "chain.md"
_STEPS = range(-8, 29, 4)
"""From the model's own veto threshold, which is one of them."""


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
    said = NumpyClassifier(model).judge(triggers)
    alone = vetoed_alone(triggers, model.verdict, said)
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
    told["t_veto"] = model.verdict.t_veto
    told["thresholds"] = at_thresholds(triggers, model.verdict, said, config.trigger.slew_threshold)
    store("retention.json", found | told)
    put_table(PAGE, "thresholds", render(told))
    print(render(told))
    if not enough:
        print(f"only {result.bursts} burst sequences slew; {ASKED} are asked for: simulate more days", file=sys.stderr)
        sys.exit(1)


def vetoed_alone(triggers: TriggerSet, rule: VerdictRule, said: Judgement) -> dict[str, Any]:
    """Shares of burst sequences with a look, and of their looks, that are vetoed where each look stands alone."""
    burst = Kinds.of(triggers).burst
    vetoed = burst & (rule.decide_looks(said.score, said.reason, np.arange(len(triggers))) == Verdict.VETO)
    sequences = [len(np.unique(triggers.sequence[of])) for of in (vetoed, burst)]
    return {
        "burst_sequences_share": asdict(Share.of(*sequences)),
        "burst_looks_share": asdict(Share.of(int(vetoed.sum()), int(burst.sum()))),
    }


def at_thresholds(
    triggers: TriggerSet, rule: VerdictRule, said: Judgement, slew_threshold: float
) -> list[dict[str, Any]]:
    """What each veto threshold gives: false slews avoided, bursts lost, burst sequences with a veto on any look."""
    rows, place = [], places(triggers)
    for t_veto in (rule.t_veto + step for step in _STEPS):
        if not -128 <= t_veto <= 128:
            continue
        other = replace(rule, t_veto=t_veto, t_confirm=max(rule.t_confirm, t_veto - 1))
        verdict = other.decide_looks(said.score, said.reason, place)
        passage = pass_alerts(triggers, Told(replace(said, verdict=verdict)), slew_threshold)
        result = summarise(triggers, passage)
        rows.append(
            {
                "t_veto": t_veto,
                "false_avoided": asdict(Share.of(result.false_slews_avoided, result.false_slews_without)),
                "bursts_lost": asdict(Share.of(result.bursts_vetoed, result.bursts)),
                "bursts_vetoed_any_look": vetoed_any_look(triggers, passage),
                "outbursts_lost": asdict(Share.of(result.outbursts_vetoed, result.outbursts)),
            }
        )
    return rows


@dataclass(frozen=True)
class Told:
    """A classifier that has said what it says of one trigger set."""

    judgement: Judgement

    def judge(self, triggers: TriggerSet) -> Judgement:
        """Repeat it."""
        assert len(triggers) == len(self.judgement.score)
        return self.judgement


def render(found: dict[str, Any]) -> str:
    """Markdown table over the thresholds; the model's own is marked."""

    def percent(share: dict[str, Any]) -> str:
        return f"{100 * share['value']:.2f} [{100 * share['lo']:.2f}, {100 * share['hi']:.2f}]"

    parts = ("false_avoided", "bursts_lost", "bursts_vetoed_any_look", "outbursts_lost")
    of = {name: found["thresholds"][0][name]["n"] for name in parts}
    heads = (
        f"false slews avoided, % of {of['false_avoided']:,}",
        f"bursts lost, % of {of['bursts_lost']:,}",
        f"burst sequences with a veto on any look, % of {of['bursts_vetoed_any_look']:,}",
        f"outbursts lost, % of {of['outbursts_lost']:,}",
    )
    rows = []
    for row in found["thresholds"]:
        own = "**" if row["t_veto"] == found["t_veto"] else ""
        rows.append([f"{own}{row['t_veto']}{own}", *(percent(row[name]) for name in parts)])
    return table(["`t_veto`", *heads], rows)


if __name__ == "__main__":
    as_command(main)
