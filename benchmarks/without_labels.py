"""The default model beside models on named features that were trained on the same simulated campaigns.

    python -m slewguard.benchmarks.without_labels training.h5 --also populations.h5 --also first.h5 --test mission=m.h5

The rule, the logistic regression and the trees are fitted to what the flight recipe fits of the sets given (the same
split, the same further populations) and judged beside the shipped model on ``alerts563.h5``, of which nothing has seen
a label, and on the test sets given. Differences are paired by bootstrap over sequences. Takes under ten minutes of a
core; stores ``benchmarks/results/without_labels.json`` and the table of ``docs/training.md`` (``--table`` renders what
is stored).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import figure, table
from slewguard.benchmarks.paired import compare
from slewguard.benchmarks.provenance import machine, put_table
from slewguard.cli.console import say
from slewguard.export.execute import NumpyClassifier
from slewguard.export.model import IntegerModel
from slewguard.export.package import open_model
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import FALSE, TRUE, TriggerSet
from slewguard.subimages.files import read_triggers
from slewguard.train.baseline import FeatureModel, measure
from slewguard.train.data import joined
from slewguard.train.fit_baseline import fit_feature_model
from slewguard.train.pooled import Pool, Scored
from slewguard.train.recipes import FEATURE_MODELS, RECIPES
from slewguard.train.runs import about, labelled, split

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "training.md"
RESULT = HERE / "results" / "without_labels.json"
FIGURES = {"auc": "AUC", "rejection_at_0.95": "rejection at 0.95", "rejection_at_0.99": "rejection at 0.99"}
SEED = 0
"""Of the split, as of the default model."""


def main() -> None:
    """Fit, judge, store, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path, nargs="?", help="labelled simulated alerts")
    parser.add_argument("--also", type=Path, action="append", default=[], help="more of them, of other populations")
    parser.add_argument("--test", action="append", default=[], metavar="NAME=SET", help="beside alerts563")
    parser.add_argument("--table", action="store_true", help="only render what is stored")
    given = parser.parse_args()
    if not given.table:
        if given.training is None:
            parser.error("no alerts to train on")
        tests = {"alerts563": HERE / "data" / "alerts563.h5"}
        for words in given.test:
            name, equals, path = words.partition("=")
            if not (name and equals and path):
                parser.error(f"--test wants NAME=SET, not {words!r}")
            tests[name] = Path(path)
        sets = [read_triggers(path) for path in (given.training, *given.also)]
        result = measure_all(sets, {name: read_triggers(path) for name, path in tests.items()}, open_model("default"))
        with atomic_output(RESULT) as beside:
            beside.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    shown = render(json.loads(RESULT.read_text(encoding="utf-8")))
    put_table(PAGE, "without", shown)
    print(shown)


def measure_all(sets: list[TriggerSet], tests: dict[str, TriggerSet], model: IntegerModel) -> dict[str, Any]:
    """Fit the models on features to what the flight recipe fits of the first set and to all of the others, and judge.

    Parameters
    ----------
    sets : list of TriggerSet
        To train on, labelled.
    tests : dict of str to TriggerSet
        To judge, labelled; unclear alerts are left out.
    model : IntegerModel
        That the others are compared with.
    """
    fitted, _ = split(sets[0], RECIPES["flight"].held_out, SEED)
    fitted = joined([fitted, *(labelled(other) for other in sets[1:])])
    say(f"measuring the features of {len(fitted):,} alerts")
    features, models = measure(fitted), {}
    for name in FEATURE_MODELS:
        say(f"fitting {name}")
        models[name] = fit_feature_model(name, features, fitted.label == TRUE, fitted.sequence, SEED)
    return {
        "model_sha256": model.sha256,
        "fitted": {"alerts": len(fitted), "sequences": len(np.unique(fitted.sequence))},
        "sets": [about(one) for one in sets],
        "machine": machine(),
        "tests": {name: judge(model, models, test) for name, test in tests.items()},
    }


def judge(model: IntegerModel, models: dict[str, FeatureModel], triggers: TriggerSet) -> dict[str, Any]:
    """Figures of all models on one set, each with what it has more than ``model``."""
    known = triggers.select(np.isin(triggers.label, (TRUE, FALSE)) & (triggers.rejected == 0))
    features = measure(known)
    scores: dict[str, NDArray[Any]] = {"flight": NumpyClassifier(model).judge(known).score}
    scores |= {name: other.score(features) for name, other in models.items()}
    true = known.label == TRUE
    pools = {name: [Pool([Scored(score, true, known.sequence, known.cause)])] for name, score in scores.items()}
    return {
        "n_true": int(true.sum()),
        "n_false": int((~true).sum()),
        "sequences": len(np.unique(known.sequence)),
        "models": compare(pools, "flight"),
    }


def render(stored: dict[str, Any]) -> str:
    """Markdown table of the stored figures."""
    rows = []
    for name, found in stored["tests"].items():
        of = f"{name} ({found['n_true']:,} true + {found['n_false']:,} false)"
        for model, one in found["models"].items():
            less = one["minus_reference"]
            rows.append(
                [
                    of,
                    "flight, int8 (default)" if model == "flight" else model,
                    *(figure(one[key], 3) for key in FIGURES),
                    *("-" if model == "flight" else figure(less[key], 3, "+") for key in ("auc", "rejection_at_0.99")),
                ]
            )
    heads = [*FIGURES.values(), "AUC less flight's", "rejection at 0.99 less flight's"]
    return table(["alerts", "model", *heads], rows)


if __name__ == "__main__":
    as_command(main)
