import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_alerts import synthetic_alerts

from slewguard.export.planes import PlaneRule, make_planes
from slewguard.subimages import COLUMNS, BadInput, TriggerSet
from slewguard.train.data import augment, fade, joined, make_examples, split_by_sequence, views, with_more_marks

ALERTS = synthetic_alerts(64)


def bare(sequence, label):
    n = len(sequence)
    columns = {"sequence": np.array(sequence, COLUMNS["sequence"]), "label": np.array(label, COLUMNS["label"])}
    return TriggerSet(np.zeros((n, 56, 56), np.float32), np.zeros((n, 56, 56), np.uint8), columns)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([-1, 0, 1])), min_size=1, max_size=60),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_a_split_parts_no_sequence(rows, part, seed):
    sequence, label = zip(*rows, strict=True)
    triggers = bare(sequence, label)
    first, second = split_by_sequence(triggers, part, seed)
    assert sorted([*first, *second]) == list(range(len(rows)))
    assert not set(triggers.sequence[first]) & set(triggers.sequence[second])
    again = split_by_sequence(triggers, part, seed)
    assert all((a == b).all() for a, b in zip((first, second), again, strict=True))


def test_a_split_takes_its_share_of_both_classes():
    triggers = bare(range(1000), [1] * 100 + [0] * 900)
    _, second = split_by_sequence(triggers, 0.3, 0)
    assert (triggers.label[second] == 1).sum() == 30
    assert (triggers.label[second] == 0).sum() == 270
    other = split_by_sequence(triggers, 0.3, 1)[1]
    assert set(second) != set(other)


@pytest.mark.parametrize("view", range(8))
def test_each_view_is_the_planes_of_the_turned_sub_image(view):
    flips, turns = divmod(view, 4)
    snr, mask = ALERTS.snr.copy(), ALERTS.mask.copy()

    def turn(image):
        field = image[:, 1:, 1:]
        image[:, 1:, 1:] = np.rot90(field.swapaxes(1, 2) if flips else field, turns, axes=(1, 2))

    planes = make_planes(snr, mask, ALERTS.catalogue_id, PlaneRule())
    turn(snr)
    turn(mask)
    expected = make_planes(snr, mask, ALERTS.catalogue_id, PlaneRule())
    found = planes.reshape(len(planes), 3, -1)[:, :, views()[view]].reshape(planes.shape)
    assert np.array_equal(found, expected)


def test_views_are_eight_and_keep_the_trigger_pixel():
    assert len({tuple(view) for view in views()}) == 8
    assert (views()[:, 28 * 56 + 28] == 28 * 56 + 28).all()


def test_both_classes_weigh_the_same_and_unclear_alerts_nothing():
    label = ALERTS.label.copy()
    label[:10] = -1
    label[10:30] = 1
    examples = make_examples(TriggerSet(ALERTS.snr, ALERTS.mask, {**ALERTS.columns, "label": label}), PlaneRule())
    assert len(examples) == 54
    true = examples.weight[examples.label == 1].sum()
    assert true == pytest.approx(examples.weight[examples.label == 0].sum())
    assert examples.weight.mean() == pytest.approx(1.0)


def test_one_class_alone_is_refused():
    with pytest.raises(BadInput, match="both kinds are needed"):
        make_examples(ALERTS.select(ALERTS.label == 1), PlaneRule())


def test_augmentation_draws_every_view_and_drops_numbers():
    examples = make_examples(ALERTS, PlaneRule())
    one = np.zeros(400, dtype=int) + int(np.flatnonzero(ALERTS.catalogue_id >= 0)[0])
    batch = augment(examples, one, 0.5, np.random.default_rng(0))
    flat = examples.planes.reshape(len(examples), 3, -1)[one[0], 0]
    drawn = {image.tobytes() for image in batch[:, 0].reshape(400, -1)}
    assert drawn == {flat[view].tobytes() for view in views()}
    dropped = (batch[:, 2, 28, 28] == 0).mean()
    assert dropped == pytest.approx(0.5, abs=0.1)
    kept = augment(examples, one, 0.0, np.random.default_rng(0))
    assert (kept[:, 2, 28, 28] == PlaneRule().level).all()


def test_the_alerts_of_a_sequence_weigh_together_as_the_root_of_their_number():
    sequence = np.arange(len(ALERTS), dtype=COLUMNS["sequence"])
    true = np.flatnonzero(ALERTS.label == 1)
    sequence[true[:9]] = sequence[true[0]]
    triggers = TriggerSet(ALERTS.snr, ALERTS.mask, {**ALERTS.columns, "sequence": sequence})
    weight = make_examples(triggers, PlaneRule()).weight
    assert weight[true[:9]].sum() == pytest.approx(3 * weight[true[9]])


def test_outbursts_weigh_less_than_bursts_and_the_classes_the_same():
    cause = np.where(ALERTS.label == 1, b"grb", b"column").astype("S16")
    flaring = np.flatnonzero(ALERTS.label == 1)[::2]
    cause[flaring] = b"outburst"
    triggers = TriggerSet(ALERTS.snr, ALERTS.mask, {**ALERTS.columns, "cause": cause})
    weight = make_examples(triggers, PlaneRule(), outburst_weight=0.25).weight
    assert (weight[flaring] * 4 == weight[cause == b"grb"][0]).all()
    assert weight[ALERTS.label == 1].sum() == pytest.approx(weight[ALERTS.label == 0].sum())


def test_joined_sets_keep_their_sequences_apart() -> None:
    one, other = synthetic_alerts(12, seed=1), synthetic_alerts(8, seed=2, per_sequence=4)
    both = joined([one, other])
    assert len(both) == 20
    assert both.snr.tobytes() == one.snr.tobytes() + other.snr.tobytes()
    assert both.label.tolist() == [*one.label, *other.label]
    assert len(np.unique(both.sequence)) == len(np.unique(one.sequence)) + len(np.unique(other.sequence))
    assert (np.diff(both.sequence[:12]) == np.diff(one.sequence)).all()
    bare = TriggerSet(other.snr, other.mask, {"label": other.columns["label"]})
    both = joined([one, bare])
    assert set(both.columns) == {"label", "sequence"}
    assert len(np.unique(both.sequence)) == len(np.unique(one.sequence)) + len(bare)
    with pytest.raises(BadInput, match="no labels"):
        joined([one, TriggerSet(other.snr, other.mask)])


def test_more_marks_touch_background_two_to_ten_pixels_from_the_trigger() -> None:
    alerts = synthetic_alerts(200, seed=3)
    marked = with_more_marks(alerts, 0.5, seed=1)
    changed = np.argwhere(marked.mask != alerts.mask)
    assert 60 < len(changed) < 120
    assert len(np.unique(changed[:, 0])) == len(changed)
    distance = np.hypot(changed[:, 1] - 28, changed[:, 2] - 28)
    assert distance.min() > 1.4
    assert distance.max() < 10.8
    assert (alerts.mask[tuple(changed.T)] == 1).all()
    assert (marked.mask[tuple(changed.T)] == 2).all()
    assert marked.snr is alerts.snr
    assert (with_more_marks(alerts, 0.0, seed=1).mask == alerts.mask).all()


def test_a_faded_alert_has_the_noise_of_an_exposure_with_more_of_it():
    examples = make_examples(ALERTS, PlaneRule())
    planes = np.zeros((600, 3, 56, 56), dtype=np.int8)
    planes[:, 1, :, 40:] = PlaneRule().level
    planes[:, 0, 28, 28] = 100  # 25 sigma, which may lose half of its exposure
    faded = fade(planes, 2, np.random.default_rng(0))
    assert (faded[:, 1:] == planes[:, 1:]).all()
    assert (faded[:, 0, :, 40:] == 0).all()
    # Variance v / (1 + v) of each pixel, v uniform from 0 to 1: 1 - ln 2 on average; a twelfth from the rounding.
    variance = (faded[:, 0, :20, :40].astype(float) ** 2).mean() / 16
    assert variance == pytest.approx(1 - np.log(2) + 1 / 12 / 16, rel=0.05)
    # 25 / sqrt(1 + v): 25 * 2 (sqrt(2) - 1) on average.
    assert faded[:, 0, 28, 28].mean() / 4 == pytest.approx(50 * (np.sqrt(2) - 1), rel=0.02)
    faint = examples.planes.copy()
    faint[:, 0, 28, 28] = 4 * 6
    assert (fade(faint, 2, np.random.default_rng(0)) == faint).all()
