from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_alerts import synthetic_alerts

from slewguard.export.execute import run
from slewguard.export.flight import HANDMADE, random_model
from slewguard.export.model import load_model
from slewguard.export.package import open_model
from slewguard.export.planes import make_planes
from slewguard.subimages import BadInput
from slewguard.train.finetune import Start, Tuning, fine_tune
from slewguard.train.nets import real_planes
from slewguard.train.quantise import fold, from_integer_model, to_integer_model
from slewguard.train.unfold import unfold

ALERTS = synthetic_alerts(80, seed=2)
PLANES = make_planes(ALERTS.snr, ALERTS.mask, ALERTS.catalogue_id, open_model("default").planes)


@pytest.mark.parametrize("model", [open_model("default"), random_model(3)], ids=["default", "random"])
def test_folded_again_the_integers_are_those_of_the_model(model):
    net = unfold(model, real_planes(torch.from_numpy(PLANES)))
    grid = from_integer_model(model)
    with torch.no_grad():
        for layer, (weight, bias) in zip(grid.convolutions(), fold(net), strict=True):
            layer.conv.weight.copy_(weight)
            layer.conv.bias.copy_(bias)
    again = to_integer_model(grid, model.name, model.planes)
    for own, other in zip(model.convolutions, again.convolutions, strict=True):
        assert np.array_equal(own.weights, other.weights)
        assert np.array_equal(own.bias, other.bias)
        assert np.array_equal(own.shift, other.shift)


def test_training_starts_where_the_model_stands():
    sample = real_planes(torch.from_numpy(PLANES))
    net = unfold(open_model("default"), sample)
    scores = run(open_model("default"), PLANES)
    with torch.no_grad():
        # Normalised by the statistics of the batch as well as by those that are kept.
        assert np.corrcoef(net.train()(sample), scores)[0, 1] > 0.99
        assert np.corrcoef(net.eval()(sample), scores)[0, 1] > 0.99


def test_another_shape_is_refused():
    with pytest.raises(BadInput, match="has not the shape of the flight network"):
        unfold(random_model(1, HANDMADE), torch.zeros(1, 3, 56, 56))


def test_the_default_model_is_fine_tuned(tmp_path):
    labels = replace(ALERTS, simulated=False)
    told = fine_tune(labels, tmp_path / "run", "default", tuning=Tuning(epochs=1, qat_epochs=1, rate=1e-6))
    model, start = load_model(told / "model.json"), open_model("default")
    # Hardly a step was made: the scores of the two nets, on scales of their own, say the same.
    scores = [run(one, PLANES) * 2.0 ** -one.convolutions[-1].out_log2 for one in (model, start)]
    assert np.corrcoef(*scores)[0, 1] > 0.95
    assert model.sha256 != start.sha256
    begun = Start.of("default")
    assert begun.identity == {"model_sha256": start.sha256}
    assert begun.past["data"]["sha256"]
