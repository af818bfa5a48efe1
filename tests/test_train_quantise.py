import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from synthetic_alerts import synthetic_alerts

from slewguard.embedded.fast_plan import make_fast
from slewguard.export.execute import run, run_layers
from slewguard.export.flight import FLIGHT, random_model
from slewguard.export.layers import MAX_ACCUMULATOR
from slewguard.export.model import load_model
from slewguard.export.planes import PlaneRule
from slewguard.subimages import BadInput
from slewguard.train.backend import TorchBackend
from slewguard.train.nets import FlightNet, HandmadeNet, pad, parameters, real_planes
from slewguard.train.quantise import fold, from_integer_model, quantise, rescale_score, to_integer_model
from slewguard.train.sources import FlightSource

ALERTS = synthetic_alerts(160)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def source():
    return FlightSource(ALERTS, PlaneRule(), 0.0)


@pytest.fixture(scope="module")
def planes(source):
    return source.examples.planes


@pytest.fixture(scope="module")
def trained(planes):
    """A float net with some statistics in its normalisation."""
    torch.manual_seed(0)
    net = FlightNet()
    for _ in range(5):
        net(real_planes(torch.from_numpy(planes)))
    with torch.no_grad():
        for norm in net.norms:
            norm.weight.uniform_(0.5, 2.0)
            norm.bias.uniform_(-0.5, 0.5)
    return net.eval()


def differing(net, model, planes):
    """Differing bytes at each layer between the Brevitas network and the specification."""
    with torch.no_grad():
        outputs = net.outputs(real_planes(torch.from_numpy(planes)))
    expected = run_layers(model, planes)
    scaled = [out.numpy() * 2.0**layer.out_log2 for out, layer in zip(outputs, model.layers, strict=True)]
    return [int((a != b).sum()) for a, b in zip(scaled, expected, strict=True)]


def test_handmade_net_has_the_talks_parameters():
    assert parameters(HandmadeNet()) == 1_624_993


def test_flight_net_fits_the_budget(trained, planes):
    model = to_integer_model(quantise(trained, real_planes(torch.from_numpy(planes))), "t", PlaneRule())
    assert model.parameters == 3689 < 4000
    assert model.macs == 361_848 < 400_000
    assert sum(w.numel() + b.numel() for w, b in fold(trained)) == model.parameters


def test_folding_changes_nothing(trained, planes):
    x = real_planes(torch.from_numpy(planes[:16]))
    with torch.no_grad():
        expected = trained(x)
        for shape, (weight, bias) in zip(FLIGHT, fold(trained), strict=True):
            groups = shape.inputs if shape.op == "depthwise_conv2d" else 1
            x = F.conv2d(pad(x, shape), weight, bias, shape.stride, groups=groups)
            x = x if shape is FLIGHT[-1] else F.relu(x)
    # Float32 rounding through nine layers.
    torch.testing.assert_close(x.flatten(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_rebuilt_network_is_the_model(seed):
    model = random_model(seed)
    net = from_integer_model(model)
    assert to_integer_model(net, model.name, model.planes, model.verdict) == model
    noise = np.clip(np.random.default_rng(seed).normal(0, 40, (20, 3, 56, 56)), -127, 127).astype(np.int8)
    assert differing(net, model, noise) == [0] * 9


def test_quantised_network_equals_the_specification_at_every_layer(trained, planes):
    net = quantise(trained, real_planes(torch.from_numpy(planes)))
    assert differing(net, to_integer_model(net, "t", PlaneRule()), planes) == [0] * 9


@pytest.mark.parametrize("rate", [1e-3, 0.3])
def test_it_still_does_after_training(trained, source, planes, rate):
    net = quantise(trained, real_planes(torch.from_numpy(planes)))
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate)
    before = [p.detach().clone() for p in net.parameters()]
    label = torch.from_numpy(source.label)
    for _ in range(6):
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(net(real_planes(torch.from_numpy(planes))), label).backward()
        optimiser.step()
        net.bound()
    assert all((a != b).any() for a, b in zip(before, net.parameters(), strict=True))
    model = to_integer_model(net, "t", PlaneRule())
    assert differing(net, model, planes) == [0] * 9


def test_scales_hold_the_maximum_of_every_layer(trained, planes):
    x = real_planes(torch.from_numpy(planes))
    net = quantise(trained, x)
    with torch.no_grad():
        for layer, (weight, bias) in zip(list(net.layers)[:-1], fold(trained), strict=False):
            shape = layer.grid.shape
            groups = shape.inputs if shape.op == "depthwise_conv2d" else 1
            x = F.relu(F.conv2d(pad(x, shape), weight, bias, shape.stride, groups=groups))
            assert float(x.max()) <= 255 * 2.0**-layer.grid.out_log2
            assert float(weight.abs().max()) <= 31 * float(layer.grid.weight_scale.max())


def test_brevitas_rounds_weights_and_biases_to_the_grid(trained, planes):
    net = quantise(trained, real_planes(torch.from_numpy(planes)))
    for layer in net.layers:
        weights, bias = layer.integers()
        scale = layer.grid.weight_scale.numpy()
        real = layer.conv.weight.detach().numpy() / scale
        assert np.array_equal(weights, 2 * np.clip(np.rint(real), -31, 31))
        real = layer.conv.bias.detach().numpy() / layer.grid.accumulator_scale.numpy()
        assert np.abs(bias / 2 - real).max() <= 0.5
        assert (bias % 2 == 1).all()


def test_bound_keeps_grown_weights_under_the_accumulator_limit(trained, planes):
    net = quantise(trained, real_planes(torch.from_numpy(planes)))
    with torch.no_grad():
        net.layers[7].conv.weight.fill_(float(net.layers[7].grid.weight_scale.max()) * 31)

    def largest():
        layer = to_integer_model(net, "t", PlaneRule()).layers[7]
        return max(-bound.min() if i == 0 else bound.max() for i, bound in enumerate(layer.accumulator_bounds(0, 255)))

    assert largest() >= MAX_ACCUMULATOR
    net.bound()
    assert largest() < MAX_ACCUMULATOR


@pytest.mark.parametrize("factor", [1e-3, 1.0, 60.0])
def test_score_scale_lets_one_percent_saturate_at_most(trained, planes, factor):
    x = real_planes(torch.from_numpy(planes))
    net = quantise(trained, x)
    with torch.no_grad():
        net.layers[-1].conv.weight.mul_(factor)
    before = to_integer_model(net, "t", PlaneRule()).layers[-1]
    rescaled = rescale_score(net, x)
    model = to_integer_model(rescaled, "t", PlaneRule())
    assert np.array_equal(model.layers[-1].weights, before.weights)
    assert np.array_equal(model.layers[-1].bias, before.bias)
    assert differing(rescaled, model, planes) == [0] * 9
    assert np.isin(run(model, planes), (-128, 127)).mean() <= 0.01


def test_backend_gives_the_bytes_of_the_specification(tmp_path, planes):
    random_model(5).save(tmp_path / "model.json")
    model = load_model(tmp_path / "model.json")
    backend = TorchBackend(model)
    assert backend.name == "torch"
    assert "brevitas" in backend.version
    outputs = backend.layers(planes)
    for found, expected in zip(outputs, run_layers(model, planes), strict=True):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    assert np.array_equal(backend.score(planes), run(model, planes))
    assert backend.score(planes[:0]).shape == (0,)


def summed_in_chunks(net):
    stages = make_fast(to_integer_model(net, "t", PlaneRule())).stages
    return sum(not channel.whole for stage in stages for channel in stage.channels)


def test_every_channel_stays_in_its_lane_where_that_is_asked(trained, planes):
    x = real_planes(torch.from_numpy(planes))
    assert summed_in_chunks(quantise(trained, x)) > 0
    net = quantise(trained, x, in_lane=True)
    assert summed_in_chunks(net) == 0
    with torch.no_grad():
        for layer in net.layers:
            layer.conv.weight.add_(3 * layer.grid.weight_scale * torch.sign(layer.conv.weight))
    assert summed_in_chunks(net) > 0
    net.bound()
    assert summed_in_chunks(net) == 0


@pytest.mark.parametrize("bits", [3, 4, 6])
def test_narrow_weights_make_an_integer_model(trained, planes, bits):
    net = quantise(trained, real_planes(torch.from_numpy(planes)), bits=bits)
    model = to_integer_model(net, "t", PlaneRule())
    assert differing(net, model, planes) == [0] * 9
    most = max(np.abs(layer.weights.astype(int)).max() for layer in model.layers)
    assert 2 ** (bits - 1) <= most <= 2 * (2 ** (bits - 1) - 1)


def test_wide_weights_come_nearer_to_the_float_network_and_make_no_integer_model(trained, planes):
    x = real_planes(torch.from_numpy(planes))
    with torch.no_grad():
        error = {bits: float((quantise(trained, x, bits=bits)(x) - trained(x)).abs().mean()) for bits in (4, 6, 8)}
    assert error[8] < error[6] < error[4]
    with pytest.raises(BadInput, match="exceeds"):
        to_integer_model(quantise(trained, x, bits=7), "t", PlaneRule())
    with pytest.raises(ValueError, match="9 bits"):
        quantise(trained, x, bits=9)


@pytest.mark.parametrize("growth", [1.0, 1e6])
def test_a_dead_channel_with_a_bias_keeps_the_construction(trained, planes, growth):
    net = copy.deepcopy(trained)
    with torch.no_grad():
        for conv, norm in zip(net.convs, net.norms, strict=False):
            conv.weight[1] *= 1e-6
            norm.weight[1], norm.running_mean[1], norm.bias[1] = 1e-6, 0.0, 0.7
    quantised = quantise(net, real_planes(torch.from_numpy(planes)))
    with torch.no_grad():
        for layer in quantised.layers:
            layer.conv.bias.mul_(growth)
    quantised.bound()
    assert differing(quantised, to_integer_model(quantised, "t", PlaneRule()), planes) == [0] * 9
