"""The configuration as a trigger set tells it: what differs, and files by what they hold."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slewguard.sim.campaign import Campaign
from slewguard.sim.config import SimConfig, config_changes, config_of, names_file
from slewguard.subimages import BadInput

FILES = {
    ("instrument", "mask_path"),
    ("instrument", "efficiency_map_path"),
    ("catalogue", "path"),
    ("energy", "response_path"),
}


def test_every_key_that_names_a_file_is_known() -> None:
    found = {(section, key) for section, values in SimConfig() for key in type(values).model_fields if names_file(key)}
    assert found == FILES


@given(
    threshold=st.floats(5, 9),
    enrich=st.floats(0.1, 1000),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=3),
    scales=st.integers(1, 7),
    cross=st.sampled_from((0, 2)),
)
def test_changes_give_the_configuration_back(
    threshold: float, enrich: float, seeds: list[int], scales: int, cross: int
) -> None:
    config = SimConfig.model_validate(
        {
            "trigger": {"alert_threshold": threshold, "image_scales": scales},
            "rates": {"enrich": enrich},
            "instrument": {"mask_seeds": seeds, "cross_cells": cross},
        }
    )
    changes = json.loads(json.dumps(config_changes(config)))
    assert config_of(changes, "a.h5") == config
    assert all(value for value in changes.values())


def test_the_defaults_change_nothing() -> None:
    assert config_changes(SimConfig()) == {}
    assert config_of({}, "a.h5") == SimConfig()
    only = SimConfig.model_validate({"trigger": {"image_scales": 3}})
    assert config_changes(only) == {"trigger": {"image_scales": 3}}
    assert Campaign(only, 1.0, 1).provenance()["config"] == {"trigger": {"image_scales": 3}}


@pytest.mark.parametrize(("section", "key"), sorted(FILES))
def test_a_file_is_told_by_its_content(section: str, key: str, tmp_path: Path) -> None:
    def named(name: str, content: bytes) -> SimConfig:
        path = tmp_path / name
        path.write_bytes(content)
        return SimConfig.model_validate({section: {key: str(path)}})

    one, moved, other = named("one", b"content"), named("moved", b"content"), named("other", b"another")
    assert one.digest() == moved.digest()
    assert config_changes(one) == config_changes(moved)
    assert len({one.digest(), other.digest(), SimConfig().digest()}) == 3
    assert str(tmp_path) not in json.dumps(config_changes(one))
    before = one.digest()
    (tmp_path / "one").write_bytes(b"content, edited")
    assert one.digest() != before

    changes = config_changes(moved)
    assert config_of(changes, "a.h5", moved) == moved
    with pytest.raises(BadInput, match=rf"a\.h5: was simulated with a file as {section}\.{key}"):
        config_of(changes, "a.h5")
    with pytest.raises(BadInput, match=rf"other: is not the {section}\.{key} with which a\.h5"):
        config_of(changes, "a.h5", other)
    (tmp_path / "one").unlink()
    with pytest.raises(BadInput, match="one: "):
        one.digest()


@pytest.mark.parametrize(
    "changes",
    [{"trigger": 3}, {"trigger": {"nothing": 1}}, {"no.such": {"path": "x"}}, {"sky": {"path": "sha256:00"}}],
)
def test_what_is_no_configuration_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"^a\.h5: "):
        config_of(changes, "a.h5", where="its configuration")
