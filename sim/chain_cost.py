"""What a slew costs in observing time, and what a count over some days means for a year.

Hardly anything of it is published (``docs/chain.md``), so every number is a key that the instrument team can replace:
``slewguard chain --cost YAML``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slewguard.sim.keys import Section, key, read_yaml, validated

YEAR_DAYS = 365.25


class Cost(Section):
    """Times of a slew and of what follows, and the processor that runs the classifier."""

    slew_s: float = key(
        97.0, "turn to the alert, s", "computed", "notices: MXT observes 117 s after the alert, less settle_s", ge=0
    )
    settle_s: float = key(20.0, "settling before the narrow-field telescopes see, s", "assumed", "none", ge=0)
    return_s: float = key(97.0, "turn back to the programme, s; settling comes on top", "assumed", "as slew_s", ge=0)
    cancel_s: float = key(
        7200.0,
        "from the slew until a person has found it false and the satellite begins to turn back, s",
        "assumed",
        "some hours: contact, reading, command",
        ge=0,
    )
    packet_s: float = key(
        685.4,
        "from the slew until the sub-image is on the ground, s",
        "computed",
        "end of the sequence (trigger.sequence_s) and 30 s of VHF (gcn.nasa.gov/missions/svom)",
        ge=0,
    )
    command_s: float = key(
        1800.0,
        "from a veto on the ground until the satellite begins to turn back, s",
        "assumed",
        "a person confirms, next contact",
        ge=0,
    )
    visit_s: float = key(
        1500.0,
        "part of the interrupted visit that is observed anew, s",
        "assumed",
        "a quarter of an orbit",
        ge=0,
    )
    observed_share: float = key(
        0.6, "share of the programme's time with data", "assumed", "less SAA (13 %) and the Earth", gt=0, le=1
    )
    clock_mhz: float = key(
        100.0, "clock of the onboard LEON3, MHz", "published", "GR712RC, dual LEON3FT: 200 MIPS (gaisler.com)", gt=0
    )
    images_per_s: float = key(1.0, "sky maps per second", "published", "Hubert & Schanne 2025: about one", gt=0)

    @property
    def false_slew_min(self) -> float:
        """Observing minutes that a false slew costs today."""
        away = self.slew_s + self.settle_s + self.cancel_s + self.return_s + self.settle_s
        return (away + self.visit_s) * self.observed_share / 60.0

    @property
    def recall_min(self) -> float:
        """Observing minutes that a veto on the ground saves of a false slew: time until a person would have cancelled.

        None are saved where that person is faster.
        """
        return max(self.cancel_s - self.packet_s - self.command_s, 0.0) * self.observed_share / 60.0


def load_cost(path: str | Path) -> Cost:
    """Read a cost model from YAML; keys that are left out keep their defaults.

    Raises
    ------
    BadInput
        If the file cannot be read, is no YAML mapping, or holds an unknown key or a bad value.
    """
    return validated(Cost, read_yaml(path), path)


@dataclass(frozen=True)
class Rate:
    """A count of ``n`` over some days as a yearly figure, with its 95 % interval (Poisson, Garwood 1936)."""

    value: float
    lo: float
    hi: float
    n: int

    @classmethod
    def of(cls, n: int, days: float, each: float = 1.0) -> Rate:
        """Figure of a year of ``n`` independent events in ``days``, each of which counts for ``each``."""
        from scipy.special import gammaincinv

        lo = float(gammaincinv(n, 0.025)) if n else 0.0
        hi = float(gammaincinv(n + 1, 0.975))
        scale = each * YEAR_DAYS / days
        return cls(n * scale, lo * scale, hi * scale, n)
