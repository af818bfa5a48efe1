"""Outputs that exist whole or not at all: written beside their place and renamed when complete."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import reason


def _beside(place: Path) -> Path:
    # The suffix stays last, since some writers choose their format by it.
    return place.with_name(f".{place.stem}.{secrets.token_hex(4)}{place.suffix}")


def _as_bad_input(error: OSError, place: str | Path, beside: Path) -> BadInput:
    """Name the output, unless the error tells of some other file."""
    culprit = error.filename
    if isinstance(culprit, bytes):
        culprit = os.fsdecode(culprit)
    if isinstance(culprit, str):
        named = Path(culprit).absolute()
        if not (named.is_relative_to(beside) or named == Path(os.path.realpath(place))):
            return BadInput(reason(error), culprit)
    return BadInput(f"cannot be written: {reason(error)}", place)


@contextmanager
def atomic_output(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; the file takes the place of ``path`` when the block ends without an error.

    An error within the block leaves what was at ``path`` as it was, and nothing beside it. The place is tried
    before the block runs, so that hours of work are not spent on an output that cannot be written.

    Parameters
    ----------
    path : path-like
        Where the output is to be; a symbolic link is followed.

    Yields
    ------
    Path
        An empty file in the same folder, with the same suffix.

    Raises
    ------
    BadInput
        For every ``OSError`` of the operating system: no such folder, no permission, a full disk.
    """
    place = Path(os.path.realpath(path))
    if os.path.exists(place) and not os.path.isfile(place):
        # Renaming over a device such as /dev/null would destroy it.
        raise BadInput("cannot be written: not a regular file", path)
    beside = _beside(place)
    try:
        beside.open("xb").close()
        yield beside
        os.replace(beside, place)
    except OSError as error:
        raise _as_bad_input(error, path, beside) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[str]:
    """Yield the path of all that a folder holds, at any depth, but folders; links are not followed."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from (f"{entry.name}/{name}" for name in _files(Path(entry.path)))
        else:
            yield entry.name


@contextmanager
def atomic_folder(
    path: str | Path, *, marker: str | None = None, ours: Callable[[str], object] = lambda _: False
) -> Iterator[Path]:
    """Give a folder to write into; it takes the place of ``path`` when the block ends without an error.

    Parameters
    ----------
    path : path-like
        Where the folder is to be.
    marker : str, optional
        Name of a file by which a folder of ours is known, such as ``manifest.json``. A folder that holds it, and
        nothing else but files that are ours, is replaced; any other that is not empty is refused, because what
        lies in it may be somebody's only copy.
    ours : callable, optional
        Tells by its path within the folder, with ``/``, whether a file is one that the caller writes.

    Yields
    ------
    Path
        A new folder beside ``path``.

    Raises
    ------
    BadInput
        If ``path`` is in use, or for every ``OSError`` of the operating system.
    """
    place = Path(os.path.realpath(path))
    if not place.name:
        raise BadInput("cannot be written: it is the root of all folders", path)
    beside = _beside(place)
    former = beside.with_name(beside.name + ".former")
    try:
        if place.exists() and not place.is_dir():
            raise BadInput("cannot be written: a file of that name is in the way", path)
        if place.is_dir() and any(place.iterdir()):
            if not (marker and (place / marker).is_file()):
                raise BadInput("folder is not empty and not one that slewguard wrote here; not overwritten", path)
            for name in _files(place):
                if name != marker and not ours(name):
                    fault = f"folder holds {name!r:.80}, which slewguard did not write here; not overwritten"
                    raise BadInput(fault, path)
        beside.mkdir()
        yield beside
        if place.is_dir():
            os.rename(place, former)
        try:
            os.rename(beside, place)
        except OSError:
            if former.exists():
                os.rename(former, place)
            raise
    except BadInput as error:
        if error.path is not None and error.path.is_relative_to(beside):
            raise BadInput(error.fault, path) from error
        raise
    except OSError as error:
        raise _as_bad_input(error, path, beside) from error
    finally:
        for left in (beside, former):
            shutil.rmtree(left, ignore_errors=True)
