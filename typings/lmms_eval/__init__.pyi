"""What takt touches of lmms-eval, which is not installed where types are checked."""
