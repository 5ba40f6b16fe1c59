"""The shift, its measures and its report."""
