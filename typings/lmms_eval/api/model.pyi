from typing import Any

class lmms:  # noqa: N801
    is_simple: bool
    task_dict: dict[str, Any]
    def __init__(self) -> None: ...
