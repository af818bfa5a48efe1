"""Scripts that measure, and the reference data they measure on."""
