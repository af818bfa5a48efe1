import numpy as np
import torch
from synthetic_alerts import synthetic_alerts

from slewguard.export.conformance import conformance
from slewguard.export.execute import run_layers
from slewguard.export.planes import PlaneRule
from slewguard.train.backend import TorchBackend
from slewguard.train.handmade_int8 import PlaneSource, fit_handmade, quantise_handmade
from slewguard.train.loop import Phase, predict
from slewguard.train.nets import real_planes


def test_quantised_handmade_network_is_the_float_one_within_its_steps():
    source = PlaneSource(synthetic_alerts(60), PlaneRule())
    net, score = fit_handmade(source, source, Phase("float", 0, 2, 16, 1e-3, 0.0), seed=0)
    assert np.array_equal(score, predict(net, source))
    model = quantise_handmade(net, source.planes, PlaneRule())
    assert model.parameters == 1_624_993 + 32 * 9
    last = run_layers(model, source.planes)[-1][:, 0, 0, 0] * 2.0 ** -model.layers[-1].out_log2
    free = np.abs(last) < 127 * 2.0 ** -model.layers[-1].out_log2
    assert free.sum() > 40
    # Six-bit weights and eight-bit activations, each half a step off at random: some per cent of the spread.
    assert np.abs(last - score)[free].std() < 0.15 * score.std()
    assert np.corrcoef(last, score)[0, 1] > 0.97
    report = conformance(model, source.planes[:4], [("torch", TorchBackend(model))])
    assert report.rows[0].equal


def test_mask_channel_is_one_plane_less_the_other():
    triggers = synthetic_alerts(8)
    source = PlaneSource(triggers, PlaneRule())
    batch = source.batch(np.arange(8), None)
    real = real_planes(torch.from_numpy(source.planes))
    assert set(batch[:, 1].unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert torch.equal(batch[:, 0], real[:, 0])
    marked = torch.from_numpy((source.planes[:, 2] > 0).astype(int) - (source.planes[:, 1] > 0).astype(int))
    assert torch.equal(batch[:, 1].int(), marked.int())
