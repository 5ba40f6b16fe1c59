"""MuJoCo scenes, stepping, rendering and scripted experts."""
