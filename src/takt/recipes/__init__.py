"""Named runs as functions that return one frozen config."""
