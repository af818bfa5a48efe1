"""The simulator's configuration: every number with its unit, its source and how sure we are of it.

A mark says how: *published* (read in the source named), *computed* (from published numbers, by us), *assumed*
(nobody has published it; replace it where the instrument team knows better). The words and marks live in the
fields below alone; :func:`drop_config` prints them as a commented YAML file.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from slewguard.sim.keys import Section
from slewguard.sim.settings_detector import Defects, Rates
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.settings_orbit import Catalogue, Orbit, Plan
from slewguard.sim.settings_sky import Bursts, Energy, Sky
from slewguard.sim.settings_trigger import Trigger
from slewguard.subimages.errors import BadInput


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
        """SHA-256 of the configuration's canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def load_config(path: str | Path) -> SimConfig:
    """Read a YAML configuration; keys that are left out keep their defaults.

    Raises
    ------
    BadInput
        If the file cannot be read, is no YAML mapping, or holds an unknown key or a bad value.
    """
    import yaml

    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(error.strerror or "cannot be read", path) from error
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8 text", path) from error
    except yaml.YAMLError as error:
        raise BadInput("is not YAML: " + " ".join(str(error).split()), path) from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise BadInput("must hold a YAML mapping of sections", path)
    try:
        return SimConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        fault = f"unknown key {where!r}" if unknown else f"key {where!r}: {first['msg']}"
        raise BadInput(fault, path) from error


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
