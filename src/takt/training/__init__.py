"""Training: one loop, one file per stage (XR-0 paper, section 2)."""
