import numpy as np
import pytest

from slewguard.benchmarks.planted import FIELDS, checks, wrong_model
from slewguard.export.flight import random_model


def inputs():
    rng = np.random.default_rng(0)
    planes = np.clip(rng.normal(0, 20, size=(4, 3, 56, 56)), -127, 127).astype(np.int8)
    planes[:, 1:] = np.where(rng.random((4, 2, 56, 56)) < 0.1, 16, 0)
    return planes


CHECKS = dict(checks(random_model(0), inputs()))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("check", CHECKS)
def test_each_check_finds_the_planted_error(check, field):
    assert CHECKS[check](field)


@pytest.mark.parametrize("field", FIELDS)
def test_the_planted_error_is_one_number_of_a_sound_model(field):
    right, wrong = random_model(0), wrong_model(random_model(0), field)
    different = [
        (name, int((getattr(a, name) != getattr(b, name)).sum()))
        for a, b in zip(right.layers, wrong.layers, strict=True)
        for name in FIELDS
    ]
    assert [(name, n) for name, n in different if n] == [(field, 1)]


def test_every_engine_that_is_installed_is_among_the_checks():
    assert {f"conformance: {name}" for name in ("numpy", "torch", "ort", "litert", "c")} <= set(CHECKS)
