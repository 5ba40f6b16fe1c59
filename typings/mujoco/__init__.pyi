"""MuJoCo 4.0 ships no types for its compiled modules; without this every name of it is unknown."""

from typing import Any

def __getattr__(name: str) -> Any: ...
