"""What is closed at the end of its `with` block."""

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """Base of whatever holds a device, a thread, a process or a socket."""

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close."""
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go. Idempotent."""
