"""`slewguard VERB`: the list of verbs, and the one place where an error becomes a line and an exit code.

Exit codes: 0 done, 1 a check failed, 2 bad use or bad input. A verb's module is imported when the verb is used,
so that ``slewguard --help`` answers at once.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version

import click

VERBS = {
    "demo": "The main job end to end, small: simulate, train, export, compare, replay; one table.",
    "simulate": "Simulate mission days: a trigger set.",
    "train": "Train a network on a trigger set: a run folder.",
    "calibrate": "Set thresholds on labelled alerts: new certificate, weights untouched.",
    "evaluate": "Measure a model on labelled alerts.",
    "export": "Print a run as ONNX, TFLite and C99: a flight package.",
    "verify": "Check every hash and golden vector of a flight package.",
    "conformance": "Compare all engines with the specification, byte for byte.",
    "bench": "Measure latency and size of the host engines.",
    "chain": "Replay mission days with and without the classifier: slews saved, bursts lost.",
    "faults": "Challenge the chain with faults: what is vetoed only because of them.",
    "advise": "Judge sub-images: verdict, reasons and picture.",
    "report": "Put a folder of results on one HTML page.",
    "inspect": "Describe or draw a sub-image, a trigger set, a model or a package; simulate an alert again.",
}


class _Verbs(click.Group):
    """A group whose help comes from :data:`VERBS` and whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"slewguard.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("slewguard"), prog_name="slewguard")
def cli() -> None:
    """Tell true from false alerts of the SVOM/ECLAIRs gamma-ray-burst trigger.

    In doubt the answer is `abstain`, and the onboard decision stands.
    """


def main() -> None:
    """Run the command line; every foreseeable fault is one line on standard error."""
    try:
        cli(prog_name="slewguard")
    except (ValueError, OSError) as error:
        from slewguard.subimages.errors import BadInput

        if isinstance(error, BadInput):
            fault = str(error)
        elif isinstance(error, OSError) and error.filename:
            fault = f"{error.filename}: {error.strerror}"
        else:
            raise
        click.echo(f"slewguard: {' '.join(fault.split())}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
