"""Sphinx configuration."""

from importlib.metadata import version as installed

project = "slewguard"
author = "the slewguard developers"
release = version = installed("slewguard")
extensions = ["myst_parser"]
html_theme = "pydata_sphinx_theme"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
