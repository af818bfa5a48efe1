"""Data sets, networks, quantisation-aware training, calibration and evaluation."""
