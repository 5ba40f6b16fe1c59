"""Policies: each folder turns observations into action chunks behind `takt.types.Policy`."""
