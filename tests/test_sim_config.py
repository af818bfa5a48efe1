"""Every key says what it is, how sure we are of it and where it comes from; what is written reads back."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from slewguard.sim.config import SimConfig, drop_config, load_config
from slewguard.sim.mission import mission

CONFIG = SimConfig()
KEYS = [(section, name) for section, keys in CONFIG for name in type(keys).model_fields]


@pytest.mark.parametrize(("section", "name"), KEYS)
def test_every_key_has_a_description_a_mark_and_a_source(section: str, name: str) -> None:
    field = type(getattr(CONFIG, section)).model_fields[name]
    assert field.description
    assert isinstance(field.json_schema_extra, dict)
    assert field.json_schema_extra["mark"] in ("published", "computed", "assumed")
    source = field.json_schema_extra["source"]
    assert isinstance(source, str)
    assert source
    # Only an assumption may have no source.
    assert source != "none" or field.json_schema_extra["mark"] == "assumed"


def changed() -> SimConfig:
    return SimConfig.model_validate(
        {
            "trigger": {"alert_threshold": 7.25, "bands_kev": [[4, 20], [20, 120]]},
            "instrument": {"cross_cells": 2, "mask_seeds": [9], "mask_path": None},
            "energy": {"efficiency": [[4, 1], [150, 1]]},
            "rates": {"enrich": 5},
        }
    )


@pytest.mark.parametrize("config", [CONFIG, changed()], ids=["default", "changed"])
def test_a_dropped_configuration_reads_back(config: SimConfig, tmp_path: Path) -> None:
    path = tmp_path / "sim.yaml"
    path.write_text(drop_config(config), encoding="utf-8")
    assert load_config(path) == config
    assert load_config(path).digest() == config.digest()


def test_configurations_are_keys_of_what_is_built_once() -> None:
    assert hash(SimConfig()) == hash(CONFIG)
    assert mission(SimConfig(), 1) is mission(CONFIG, 1)
    assert mission(changed(), 1) is not mission(CONFIG, 1)
    with pytest.raises(ValidationError, match="frozen"):
        CONFIG.trigger.alert_threshold = 1.0


@pytest.mark.filterwarnings("ignore:Pydantic serializer")
def test_a_changed_key_changes_the_digest() -> None:
    # Of files the content counts, which tests/test_sim_config_files.py holds.
    keys = [(section, name) for section, name in KEYS if not name.endswith("path")]
    digests = {CONFIG.digest(), changed().digest()}
    for section, name in keys:
        other = getattr(CONFIG, section).model_copy(update={name: "something else"})
        digests.add(CONFIG.model_copy(update={section: other}).digest())
    assert len(digests) == 2 + len(keys)
