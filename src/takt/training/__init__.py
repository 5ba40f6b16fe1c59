"""Training: one loop, one file per stage (paper section 2; reference training.md and nano-training.md)."""
