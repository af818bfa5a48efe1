"""The simulator's configuration: every number with its unit, its source and how sure we are of it.

A mark says how: *published* (read in the source named), *computed* (from published numbers, by us), *assumed*
(nobody has published it; replace it where the instrument team knows better). The words and marks live in the
fields below alone; :func:`drop_config` prints them as a commented YAML file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slewguard.sim.keys import Section, read_yaml, validated
from slewguard.sim.settings_detector import Defects, Rates
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.settings_orbit import Catalogue, Orbit, Plan
from slewguard.sim.settings_sky import Bursts, Energy, Sky
from slewguard.sim.settings_trigger import Trigger
from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes

_CONTENT = "sha256:"
_SHIPPED = (None, "default")
_LARGEST_FILE = 2**24


class SimConfig(Section):
    """Everything the simulator can be told."""

    instrument: Instrument = Instrument()
    energy: Energy = Energy()
    orbit: Orbit = Orbit()
    pointing: Plan = Plan()
    sky: Sky = Sky()
    catalogue: Catalogue = Catalogue()
    bursts: Bursts = Bursts()
    defects: Defects = Defects()
    trigger: Trigger = Trigger()
    rates: Rates = Rates()

    def digest(self) -> str:
        """SHA-256 of the configuration's canonical JSON, in which the content of a file stands for its path.

        Raises
        ------
        BadInput
            If a file that the configuration names cannot be read.
        """
        text = json.dumps(_by_content(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def names_file(key: str) -> bool:
    """Whether the value of a key is the path of a file (or stands for what ships)."""
    return key == "path" or key.endswith("_path")


def _by_content(config: SimConfig) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = config.model_dump(mode="json")
    for section in values.values():
        for name, value in section.items():
            if names_file(name) and value not in _SHIPPED:
                section[name] = _CONTENT + hashlib.sha256(read_bytes(value, _LARGEST_FILE)).hexdigest()
    return values


def config_changes(config: SimConfig) -> dict[str, dict[str, Any]]:
    """Return the keys that differ from the defaults, by section, as JSON-able data.

    A file is named by the SHA-256 of its content (``sha256:...``), not by its path: the same campaign says the same
    on every machine. :func:`config_of` is the inverse.

    Raises
    ------
    BadInput
        If a file that the configuration names cannot be read.
    """
    defaults = SimConfig().model_dump(mode="json")
    changed = {
        section: {name: value for name, value in values.items() if value != defaults[section][name]}
        for section, values in _by_content(config).items()
    }
    return {section: values for section, values in changed.items() if values}


def config_of(
    changes: Mapping[str, Any], path: str | Path, files: SimConfig | None = None, where: str = ""
) -> SimConfig:
    """Return the configuration that :func:`config_changes` tells.

    Parameters
    ----------
    changes : mapping
    path : path-like
        File that holds them, for faults.
    files : SimConfig, optional
        Names the files of which ``changes`` knows the content.
    where : str
        What in the file holds them, for faults.

    Raises
    ------
    BadInput
        If they are no configuration, or a file that they need is not named or another one.
    """
    values: dict[str, Any] = {}
    for section, given in changes.items():
        values[section] = dict(given) if isinstance(given, Mapping) else given
        for name, value in values[section].items() if isinstance(given, Mapping) else ():
            if names_file(name) and str(value).startswith(_CONTENT):
                values[section][name] = _named(section, name, value, files, path)
    return validated(SimConfig, values, path, where)


def _named(section: str, name: str, content: str, files: SimConfig | None, path: str | Path) -> str:
    key, named = f"{section}.{name}", getattr(getattr(files, section, None), name, None)
    if named in _SHIPPED:
        raise BadInput(f"was simulated with a file as {key}: a configuration that names it is needed", path)
    found = _CONTENT + hashlib.sha256(read_bytes(named, _LARGEST_FILE)).hexdigest()
    if found != content:
        raise BadInput(f"is not the {key} with which {path} was simulated", named)
    return str(named)


def load_config(path: str | Path) -> SimConfig:
    """Read a YAML configuration; keys that are left out keep their defaults.

    Raises
    ------
    BadInput
        If the file cannot be read, is no YAML mapping, or holds an unknown key or a bad value.
    """
    return validated(SimConfig, read_yaml(path), path)


def drop_config(config: SimConfig | None = None) -> str:
    """Return the configuration as YAML with unit, mark and source of every key as comments."""
    import yaml

    lines = ["# slewguard simulator configuration. Marks: published, computed, assumed."]
    for name, section in config or SimConfig():
        lines += ["", f"# {(type(section).__doc__ or '').strip()}", f"{name}:"]
        for named, field in type(section).model_fields.items():
            extra = field.json_schema_extra
            assert isinstance(extra, dict)
            value = getattr(section, named)
            shown = yaml.safe_dump(
                list(value) if isinstance(value, tuple) else value, default_flow_style=True, width=1000
            )
            lines.append(f"  # {field.description} [{extra['mark']}: {extra['source']}]")
            lines.append(f"  {named}: {shown.removesuffix(chr(10)).removesuffix('...').strip()}")
    return "\n".join(lines) + "\n"
