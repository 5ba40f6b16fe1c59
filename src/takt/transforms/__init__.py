"""Invertible transforms, used unchanged by training and deployment; NumPy only.

Axes: ... any batch axes, T chunk step, A body axis, D policy column.
"""
