"""How far another host's monotonic clock is from ours, from the stamps of questions and answers."""

from collections import deque
from dataclasses import dataclass

from takt.types import Seconds, TaktError

WINDOW = 64  # exchanges: long enough to hold a quiet one, short enough to follow a clock's drift


@dataclass(frozen=True, slots=True)
class _Exchange:
    round_trip_s: Seconds
    offset_s: Seconds


class ClockOffset:
    """Minimum-RTT filter: of the last exchanges, the one that the network delayed least."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._exchanges: deque[_Exchange] = deque(maxlen=WINDOW)
        self._quickest: _Exchange | None = None

    def start_again(self) -> None:
        """After a new connection: the next exchange is the first one with another clock, perhaps.

        Until then the offset is still that of the last one.
        """
        self._exchanges.clear()

    def add(self, asked: Seconds, received: Seconds, answered: Seconds, arrived: Seconds) -> None:
        """One exchange: `asked`, `arrived` on our clock, `received`, `answered` on the other."""
        self._exchanges.append(
            _Exchange(
                round_trip_s=(arrived - asked) - (answered - received),
                offset_s=((received - asked) + (answered - arrived)) / 2,
            )
        )
        # here and not where it is read: that may be another thread
        self._quickest = min(self._exchanges, key=lambda exchange: exchange.round_trip_s)

    @property
    def known(self) -> bool:
        """Whether there was an exchange."""
        return self._quickest is not None

    @property
    def offset_s(self) -> Seconds:
        """What must be added to our stamps to get the other's; wrong by `round_trip_s / 2` at most.

        Raises:
            TaktError: There was no exchange yet.
        """
        return self._best().offset_s

    @property
    def round_trip_s(self) -> Seconds:
        """Time on the network there and back, of the best exchange.

        Raises:
            TaktError: There was no exchange yet.
        """
        return self._best().round_trip_s

    def _best(self) -> _Exchange:
        if self._quickest is None:
            raise TaktError(
                "expected an exchange with the other host before its clock is compared, got none; "
                "reset() makes one"
            )
        return self._quickest
