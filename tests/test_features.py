"""Named features against what they are said to be, on images made for one of them each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from synthetic_alerts import synthetic_alerts

from slewguard.export.features import FEATURES, NOWHERE, features, psf
from slewguard.subimages.contract import rejections

ROW, COLUMN = np.mgrid[:56, :56]
RADIUS = np.hypot(ROW - 28, COLUMN - 28)
FAR = RADIUS > 3.5
ALERTS = synthetic_alerts(40)
# What turns into each other when rows become columns; the rest stays as it is or changes its sign.
TRANSPOSED = {
    "column_profile": "row_profile",
    "trigger_column": "trigger_row",
    "column_correlation_1": "row_correlation_1",
    "column_correlation_3": "row_correlation_3",
}


def measured(snr, mask=None, catalogue_id=-1):
    snr = np.asarray(snr, dtype=np.float32)
    if mask is None:
        mask = np.ones((56, 56), dtype=np.uint8)
        mask[28, 28] = 3
        mask[np.isnan(snr)] = 0
    assert not rejections(snr[None], mask[None])[0]
    found = features(snr[None], mask[None], np.array([catalogue_id], dtype=np.int32))[0]
    return dict(zip(FEATURES, found, strict=True))


def blob(peak=10.0, noise=0.0, seed=0):
    y, z = (ROW - 28).astype(float), (COLUMN - 28).astype(float)
    return peak * psf(y, z) + noise * np.random.default_rng(seed).normal(size=(56, 56))


def marked(*sources, snr=None):
    mask = np.ones((56, 56), dtype=np.uint8)
    for row, column in sources:
        mask[row, column] = 2
    mask[28, 28] = 3
    return (blob() if snr is None else snr), mask


def test_psf_is_the_one_of_a_self_supporting_mask():
    lag = np.arange(5.0)
    found = psf(lag, np.zeros(5))
    # The reference's computed autocorrelation at 0 to 4 px; the model leaves out what the real pattern adds.
    assert found == pytest.approx([1, 0.61, 0.03, -0.26, -0.15], abs=0.04)
    assert psf(np.zeros(5), lag) == pytest.approx(found)
    assert psf(lag, lag)[3] == pytest.approx(0, abs=0.01)  # no minima on the diagonals


def test_a_point_source_looks_like_one():
    found = measured(blob(12.0))
    assert found["peak_snr"] == 12
    assert found["psf_correlation"] == pytest.approx(1, abs=1e-6)
    for name in ("psf_residual", "core_dipole", "wing_dipole", "minima_spread", "core_elongation"):
        assert found[name] == pytest.approx(0, abs=1e-5)
    assert found["core_width"] == pytest.approx(psf(np.ones(1), np.zeros(1))[0])
    assert found["minima_depth"] == pytest.approx(psf(np.array([3.0, 4.0]), np.zeros(2)).mean())


def test_noise_and_peaks_follow_their_formulae():
    snr = blob(9.0, noise=1.0)
    snr[40, 10], snr[5, 50] = 7.5, -6.5
    found = measured(snr)
    # float32 on the way in.
    std = np.sqrt((snr[FAR] ** 2).mean())
    assert found["local_std"] == pytest.approx(std, rel=1e-6)
    assert found["peak_over_std"] == pytest.approx(snr[28, 28] / std, rel=1e-6)
    assert found["second_peak"] == 7.5
    assert found["second_ratio"] == pytest.approx(7.5 / snr[28, 28], rel=1e-6)
    assert found["deepest_minimum"] == -6.5
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(snr[FAR]), rel=1e-5)
    inner, outer = snr[(RADIUS > 5.5) & (RADIUS <= 12)], snr[RADIUS > 12]
    assert found["ring_ratio"] == pytest.approx(np.sqrt((inner**2).mean() / (outer**2).mean()), rel=1e-6)


def test_correlation_of_smoothed_noise_is_that_of_its_kernel():
    rng = np.random.default_rng(1)
    found = [measured(ndimage.uniform_filter1d(rng.normal(size=(56, 56)), 4, axis=0, mode="wrap")) for _ in range(60)]
    mean = {name: np.mean([one[name] for one in found]) for name in FEATURES}
    # A box of four has the triangle 1 - lag / 4; 60 images of some 700 independent pixels give 0.005.
    assert mean["column_correlation_1"] == pytest.approx(0.75, abs=0.03)
    assert mean["column_correlation_3"] == pytest.approx(0.25, abs=0.03)
    assert mean["row_correlation_1"] == pytest.approx(0, abs=0.03)


def test_profiles_find_a_column_and_a_row():
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(56, 56))
    quiet = measured(noise)
    column, row = noise.copy(), noise.copy()
    column[:, 41] += 3
    row[28] += 3
    assert quiet["column_profile"] < 4
    assert measured(column)["column_profile"] > 15
    assert measured(column)["row_profile"] < 5
    assert measured(row)["trigger_row"] > quiet["trigger_row"] + 7
    assert abs(measured(column)["trigger_column"]) < 4
    slope = noise + 0.1 * (ROW - 28)
    assert measured(slope)["quadrant_spread"] > measured(noise)["quadrant_spread"] + 10


def test_sources_are_positions_however_they_are_marked():
    snr = blob()
    snr[28, 40] = -8
    one = measured(*marked((28, 40), snr=snr))
    patch = measured(*marked(*[(r, c) for r in (27, 28, 29) for c in (39, 40, 41)], snr=snr))
    assert patch == one
    assert (one["source_distance"], one["n_sources"], one["associated"]) == (12, 1, 0)
    assert one["source_peak"] == 8
    two = measured(*marked((28, 40), (20, 22)))
    assert (two["source_distance"], two["n_sources"]) == (10, 2)
    none = measured(blob())
    assert (none["source_distance"], none["n_sources"], none["source_peak"]) == (NOWHERE, 0, 0)
    hidden = measured(blob(), catalogue_id=5)
    assert (hidden["source_distance"], hidden["n_sources"], hidden["associated"]) == (0, 1, 1)


def test_a_peak_at_a_known_source_is_not_the_second_peak():
    snr = blob(10.0)
    snr[10, 10] = 9
    assert measured(snr)["second_peak"] == 9
    found = measured(*marked((10, 11), snr=snr))
    assert found["second_peak"] < 1
    assert found["source_peak"] == 9


def test_partial_images():
    snr = blob(10.0, noise=1.0)
    snr[:20] = np.nan
    found = measured(snr)
    assert found["valid_fraction"] == pytest.approx(36 / 56)
    assert found["edge_distance"] == 9
    assert found["local_std"] == pytest.approx(np.sqrt(np.nanmean(snr[FAR] ** 2)), rel=1e-6)
    alone = np.full((56, 56), np.nan)
    alone[28, 28] = 9
    found = measured(alone)
    assert (found["local_std"], found["second_peak"], found["edge_distance"]) == (0, 0, 1)
    assert np.isfinite(list(found.values())).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0, 0.98),
    st.sampled_from([1e-30, 1.0, 300.0, 3e38]),
    st.integers(-1, 3),
)
def test_every_feature_of_every_sub_image_is_finite(seed, missing, size, catalogue_id):
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        snr = np.clip(size * rng.normal(size=(56, 56)), -3e38, 3e38)
    snr[rng.random((56, 56)) < missing] = np.nan
    snr[28, 28] = rng.choice([size, -size, 0.0])
    mask = rng.integers(1, 3, size=(56, 56)).astype(np.uint8)
    mask[28, 28] = 3
    mask[np.isnan(snr)] = 0
    with np.errstate(all="raise", under="ignore"):
        found = measured(snr, mask, catalogue_id)
    assert np.isfinite(list(found.values())).all()


def test_turning_the_image_changes_only_what_names_an_axis():
    plain = features(ALERTS.snr, ALERTS.mask, ALERTS.catalogue_id)
    snr, mask = ALERTS.snr.copy(), ALERTS.mask.copy()
    for image in (snr, mask):
        image[:, 1:, 1:] = image[:, 1:, 1:].swapaxes(1, 2).copy()
        image[:, 0], image[:, :, 0] = image[:, :, 0].copy(), image[:, 0].copy()
    turned = features(snr, mask, ALERTS.catalogue_id)
    names = list(FEATURES)
    for name in names:
        other = {**TRANSPOSED, **{b: a for a, b in TRANSPOSED.items()}}.get(name, name)
        expected = plain[:, names.index(other)] * (-1 if name == "core_elongation" else 1)
        assert turned[:, names.index(name)] == pytest.approx(expected, rel=1e-9, abs=1e-9), name


def test_a_batch_is_its_members():
    many = synthetic_alerts(300)
    whole = features(many.snr, many.mask, many.catalogue_id)
    assert whole.shape == (300, len(FEATURES))
    for i in (0, 255, 256, 299):
        one = slice(i, i + 1)
        alone = features(many.snr[one], many.mask[one], many.catalogue_id[one])
        # A matrix product may add in another order.
        assert alone[0] == pytest.approx(whole[i], rel=1e-12, abs=1e-12)
    assert features(many.snr[:0], many.mask[:0], many.catalogue_id[:0]).shape == (0, len(FEATURES))
