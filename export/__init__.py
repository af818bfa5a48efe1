"""The integer model, its executors, writers and readers, and the proof that all give the same bytes."""

from slewguard.export.execute import NumpyClassifier, run, run_layers
from slewguard.export.layers import Layer, MaxPool
from slewguard.export.model import IntegerModel, load_model
from slewguard.export.package import open_model, verify_package, write_package
from slewguard.export.planes import PlaneRule, make_planes
from slewguard.export.verdict import VerdictRule

__all__ = [
    "IntegerModel",
    "Layer",
    "MaxPool",
    "NumpyClassifier",
    "PlaneRule",
    "VerdictRule",
    "load_model",
    "make_planes",
    "open_model",
    "run",
    "run_layers",
    "verify_package",
    "write_package",
]
