from typing import Any

class Instance:
    args: tuple[Any, ...]
