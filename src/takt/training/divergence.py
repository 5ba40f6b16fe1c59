"""A loss that climbs back and stays there."""

import math

FACTOR = 2.0
PATIENCE = 200  # steps; four time constants of the running mean, so one bad batch is long forgotten
FLOOR = 0.1  # of the settled loss; below, one odd batch is many times the best
SETTLED = 100  # steps until the running mean has forgotten its first value, which may be luck


class Divergence:
    """Follows a stage's running mean; speaks once.

    The rule: above twice its best, and a tenth of what it was once settled, for 200 steps on end. A
    running mean over 50 steps moves by some per cent between batches, never by half; a rate that is
    too high lifts the loss for good.
    """

    def __init__(self) -> None:
        self._best, self._best_step = math.inf, 0
        self._floor: float | None = None
        self._since: int | None = None
        self._said = False

    def check(self, step: int, loss: float) -> str | None:
        """What to say, if this is where the loss counts as diverging."""
        if step < SETTLED:
            return None
        self._floor = FLOOR * loss if self._floor is None else self._floor
        if loss < self._best:
            self._best, self._best_step = loss, step
        if loss <= max(FACTOR * self._best, self._floor):
            self._since = None
            return None
        self._since = step if self._since is None else self._since
        if self._said or step - self._since < PATIENCE:
            return None
        self._said = True
        return (
            f"the loss diverges: its running mean was {self._best:.4g} at step {self._best_step}, "
            f"it is {loss:.4g} and has been above twice the best since step {self._since}; "
            "stop the run and start it anew with a lower learning rate"
        )
