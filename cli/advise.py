"""`slewguard advise`: verdict, reasons and picture of sub-images from any file that holds some."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slewguard.cli.console import json_option, say, write_json

if TYPE_CHECKING:
    from slewguard.ground.advice import Advice
    from slewguard.subimages import SubImage


@click.command("advise")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", "model_from", default="default", show_default=True, help="Model, run or package.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the pictures.")
@click.option("--pictures", type=click.IntRange(0), default=25, show_default=True, help="Most pictures drawn.")
@json_option
def command(files: tuple[Path, ...], model_from: str, out: Path | None, pictures: int, json_to: str | None) -> None:
    """Judge the sub-images in FILES: FITS files, folders of them, or trigger sets.

    A sub-image that breaks the contract is answered with `abstain` and the reason. A file that holds none is an
    error, which silences no other: the rest is answered, and the exit code is 2.
    """
    from slewguard.export.package import open_model
    from slewguard.ground.advice import advise, not_judged
    from slewguard.subimages import BadInput, RejectedSubImage, read_triggers

    model = open_model(model_from)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    told: list[Advice] = []
    faults = drawn = 0
    for file in files:
        try:
            triggers = read_triggers(file, strict=False)
        except RejectedSubImage as error:
            new = [not_judged(file.name, error.reason, error.fault)]
        except BadInput as error:
            say(f"slewguard: {error}")
            faults += 1
            continue
        else:
            names = [file.name] if len(triggers) == 1 else [f"{file.name}[{i}]" for i in range(len(triggers))]
            new = advise(triggers, names, model)
            good = [i for i in range(len(triggers)) if triggers.rejected[i] == 0]
            if out is not None:
                for i in good[: max(pictures - drawn, 0)]:
                    _draw(triggers[i], new[i], out / f"{len(told) + i:04d}-{file.stem}-{new[i].verdict}.png")
                drawn += len(good)
        for one in new:
            click.echo(one.sentence, err=json_to == "-")
        told += new
    if drawn > pictures:
        say(f"{drawn - pictures} more were not drawn (--pictures)")
    write_json([one.as_dict() for one in told], json_to)
    if faults:
        sys.exit(2)


def _draw(subimage: SubImage, advice: Advice, place: Path) -> None:
    from slewguard.subimages.draw import draw_subimage

    draw_subimage(subimage, place, title=advice.name, verdict_line=advice.sentence)
    say(f"drew {place}")
