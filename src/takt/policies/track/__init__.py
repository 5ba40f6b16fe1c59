"""A tiny diffusion transformer that plans from a low-dimensional state: one network per method."""
