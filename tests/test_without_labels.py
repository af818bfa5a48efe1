"""Models on features beside the default model, trained and judged on alerts that share no sequence."""

import numpy as np

from slewguard.benchmarks.default_model import HERE
from slewguard.benchmarks.without_labels import measure_all, render
from slewguard.export.execute import NumpyClassifier
from slewguard.export.package import open_model
from slewguard.subimages import read_triggers
from slewguard.train.recipes import FEATURE_MODELS


def test_all_are_judged_on_the_same_alerts_and_compared_with_the_network():
    alerts, model = read_triggers(HERE / "data" / "alerts563.h5"), open_model("default")
    part = alerts.sequence % 3
    sets, test = [alerts.select(part == i) for i in (0, 1)], alerts.select(part == 2)
    stored = measure_all(sets, {"others": test}, model)
    # Of the first set a part is held out, as for the flight network; the second is fitted whole.
    assert len(sets[1]) < stored["fitted"]["alerts"] < len(sets[0]) + len(sets[1])
    found = stored["tests"]["others"]
    assert set(found["models"]) == {"flight", *FEATURE_MODELS}
    # The area by its definition: pairs won, a tie counting half, of all pairs.
    score = NumpyClassifier(model).judge(test).score.astype(int)
    less = np.sign(score[test.label == 1][:, None] - score[test.label == 0][None, :])
    assert round(found["models"]["flight"]["auc"]["value"] * 2 * less.size) == (less + 1).sum()
    assert found["models"]["flight"]["minus_reference"]["auc"]["value"] == 0.0
    for name in FEATURE_MODELS:
        one = found["models"][name]
        less = one["auc"]["value"] - found["models"]["flight"]["auc"]["value"]
        assert one["minus_reference"]["auc"]["value"] == less
        assert one["auc"]["value"] > 0.6
    assert (found["n_true"], found["n_false"]) == tuple(np.bincount(test.label)[::-1])
    assert len(render(stored).splitlines()) == 2 + len(found["models"])
