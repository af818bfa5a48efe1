"""The scorecard: the simulator against every fact that is public, and against our own computation.

Three sections, because they weigh differently: facts nobody tuned anything on, facts that keys of the configuration
were chosen by (named in the row), and figures of our own that a change of the code must not move unseen. A row
*agrees* or *differs by* something; a distribution that few public events stand against is at best *not contradicted*,
with the smallest shift that they could have shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slewguard.sim.config import SimConfig
from slewguard.sim.scorecard_campaign import distribution_rows, first_alert_rows, mix_rows, sequence_rows
from slewguard.sim.scorecard_instrument import count_rate_rows, field_of_view_rows, orbit_rows, roll_rows
from slewguard.sim.scorecard_optics import blank_map_rows, error_radius_rows, point_spread_rows, steps
from slewguard.sim.scorecard_population import Population
from slewguard.sim.scorecard_rows import SECTIONS, Group, Inputs
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.errors import BadInput

GROUPS: tuple[Group, ...] = (
    field_of_view_rows,
    count_rate_rows,
    orbit_rows,
    roll_rows,
    point_spread_rows,
    blank_map_rows,
    error_radius_rows,
    distribution_rows,
    first_alert_rows,
    sequence_rows,
    mix_rows,
)
"""What makes rows, in the order in which they are shown within a section."""
FORMAT = "slewguard-scorecard"


def scorecard(
    config: SimConfig,
    triggers: TriggerSet,
    *,
    seed: int = 1,
    injections: int = 1000,
    blank_maps: int = 200,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Compute every row.

    Parameters
    ----------
    config : SimConfig
    triggers : TriggerSet
        A whole campaign of the configuration, for the population rows (:func:`slewguard.sim.campaign.simulate`).
    seed : int
        Of all else that is drawn; same seed, same figures.
    injections : int
        Injected sources in each of the four SNR bins.
    blank_maps : int
    progress : callable, optional
        Called with the number of steps done and their total.

    Returns
    -------
    dict
        ``format``, ``version``, ``config_sha256``, ``seed``, ``days``, ``campaign_seed`` and ``rows``, each with the
        fields of :class:`slewguard.sim.scorecard_rows.Row`.

    Raises
    ------
    BadInput
        If a number makes no sense, or the trigger set is not a whole campaign of the configuration.
    """
    for name, count in (("injections", injections), ("blank maps", blank_maps)):
        if count < 2:
            raise BadInput(f"there must be at least 2 {name}, not {count}")
    population = Population.of(triggers, config)
    tell = _counter(steps(injections, blank_maps), progress)
    inputs = Inputs(config, seed, injections, blank_maps, population, tell)
    rows = [row for group in GROUPS for row in group(inputs)]
    return {
        "format": FORMAT,
        "version": 1,
        "config_sha256": config.digest(),
        "seed": seed,
        "days": population.days,
        "campaign_seed": triggers.provenance.get("seed"),
        "rows": [row.to_json() for row in rows],
    }


def _counter(total: int, progress: Callable[[int, int], None] | None) -> Callable[[int], None]:
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    return tell


def sections(rows: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Group rows, as of :func:`scorecard`, under the titles of the three sections."""
    return [(title, [row for row in rows if row["section"] == name]) for name, title in SECTIONS.items()]


def as_markdown(card: dict[str, Any]) -> str:
    """Render a scorecard as Markdown tables."""
    lines = [
        f"Configuration `{card['config_sha256'][:12]}`, seed {card['seed']}; population rows: {card['days']:g} days, "
        f"seed {card['campaign_seed']}. Intervals are at 95 %."
    ]
    for title, rows in sections(card["rows"]):
        tuned = any(row["tuned_on"] for row in rows)
        header = ["fact", "source", *(["tuned on"] if tuned else []), "ours", "verdict", "note"]
        lines += ["", f"### {title}", "", _line(header), _line(["---"] * len(header))]
        for row in rows:
            cells = [row["fact"], row["source"], *([row["tuned_on"]] if tuned else [])]
            lines.append(_line([*cells, row["ours"], row["verdict"], row["note"]]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
