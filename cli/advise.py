"""`slewguard advise`: verdict, reasons and picture of sub-images from any file that holds some."""

from __future__ import annotations

from pathlib import Path

import click

from slewguard.cli.console import json_option, say, write_json


@click.command("advise")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", "model_from", default="default", show_default=True, help="Model, run or package.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the pictures.")
@click.option("--pictures", default=25, show_default=True, help="Most pictures drawn.")
@json_option
def command(files: tuple[Path, ...], model_from: str, out: Path | None, pictures: int, json_to: str | None) -> None:
    """Judge the sub-images in FILES: FITS files, folders of them, or trigger sets.

    A sub-image that breaks the contract is answered with `abstain` and the reason; a file that holds none is an
    error.
    """
    from slewguard.export.package import open_model
    from slewguard.ground.advice import advise, not_judged
    from slewguard.subimages import RejectedSubImage, TriggerSet, read_triggers

    model = open_model(model_from)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    advice = []
    drawn: list[tuple[TriggerSet, int, int]] = []
    for file in files:
        try:
            triggers = read_triggers(file, strict=False)
        except RejectedSubImage as error:
            advice.append(not_judged(file.name, error.reason, error.fault))
            continue
        names = [file.name] if len(triggers) == 1 else [f"{file.name}[{i}]" for i in range(len(triggers))]
        drawn += [(triggers, i, len(advice) + i) for i in range(len(triggers)) if triggers.rejected[i] == 0]
        advice += advise(triggers, names, model)
    for one in advice:
        click.echo(one.sentence, err=json_to == "-")
    if out is not None:
        from slewguard.subimages.draw import draw_subimage

        for triggers, i, k in drawn[:pictures]:
            place = out / f"{k:04d}-{Path(advice[k].name.split('[')[0]).stem}-{advice[k].verdict}.png"
            draw_subimage(triggers[i], place, title=advice[k].name, verdict_line=advice[k].sentence)
            say(f"drew {place}")
        if len(drawn) > pictures:
            say(f"{len(drawn) - pictures} more were not drawn (--pictures)")
    write_json([one.as_dict() for one in advice], json_to)
