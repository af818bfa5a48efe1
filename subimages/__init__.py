"""The sub-image: its contract, its files, its drawing (floor 1: imports nothing else of slewguard).

Importing this costs numpy alone; h5py, astropy and matplotlib are imported by the functions that need them.
"""

from slewguard.subimages.atomic import atomic_folder, atomic_output
from slewguard.subimages.contract import (
    CAUSES,
    COLUMNS,
    REASONS,
    SIDE,
    SubImage,
    TriggerSet,
    rejections,
)
from slewguard.subimages.describe import describe
from slewguard.subimages.draw import draw_subimage, draw_triggers
from slewguard.subimages.errors import BadInput, RejectedSubImage
from slewguard.subimages.files import read_triggers, write_triggers
from slewguard.subimages.fits import read_fits, write_fits
from slewguard.subimages.folder import read_folder, write_folder
from slewguard.subimages.hdf5 import read_triggers_hdf5, write_triggers_hdf5
from slewguard.subimages.places import places
from slewguard.subimages.verdict import Classifier, Judgement, Verdict

__all__ = [
    "CAUSES",
    "COLUMNS",
    "REASONS",
    "SIDE",
    "BadInput",
    "Classifier",
    "Judgement",
    "RejectedSubImage",
    "SubImage",
    "TriggerSet",
    "Verdict",
    "atomic_folder",
    "atomic_output",
    "describe",
    "draw_subimage",
    "draw_triggers",
    "places",
    "read_fits",
    "read_folder",
    "read_triggers",
    "read_triggers_hdf5",
    "rejections",
    "write_fits",
    "write_folder",
    "write_triggers",
    "write_triggers_hdf5",
]
