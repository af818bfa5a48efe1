"""`slewguard simulate --scorecard`: the simulator against public facts, as a table and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slewguard.cli.console import progress, say, table, write_json

if TYPE_CHECKING:
    from slewguard.sim.config import SimConfig


def show(
    config: SimConfig,
    *,
    seed: int,
    days: float,
    workers: int,
    triggers_from: Path | None,
    json_to: str | None,
) -> None:
    """Compute the scorecard, print it, write it where asked.

    Parameters
    ----------
    config : SimConfig
    seed : int
        Of the scorecard, and of the campaign where one is simulated.
    days : float
        Length of that campaign.
    workers : int
        Its processes.
    triggers_from : path, optional
        Trigger set of a whole campaign of the same configuration, to read instead.
    json_to : str, optional
        File, or ``-``.
    """
    from slewguard.sim.campaign import simulate
    from slewguard.sim.scorecard import scorecard, sections
    from slewguard.subimages import BadInput, read_triggers

    if triggers_from is not None:
        triggers = read_triggers(triggers_from)
    else:
        with progress("simulating") as shown:
            triggers = simulate(config, days=days, seed=seed, workers=workers, progress=shown)
    try:
        with progress("scorecard") as shown:
            card = scorecard(config, triggers, seed=seed, progress=shown)
    except BadInput as error:
        raise error if triggers_from is None else error.within(triggers_from) from error
    for title, rows in sections(card["rows"]):
        shown_columns = ["fact", "ours", "verdict"]
        if any(row["tuned_on"] for row in rows):
            shown_columns.append("tuned_on")
        cells = [[row[name] for name in shown_columns] for row in rows]
        header = [name.replace("_", " ") for name in shown_columns]
        table(title, header, cells, to_stderr=json_to == "-", facts=True)
    agree = sum(row["verdict"].startswith(("agrees", "not contradicted")) for row in card["rows"])
    say(f"{agree} of {len(card['rows'])} rows agree or are not contradicted; {card['days']:g} days")
    write_json(card, json_to)
