"""Two players on the same seeds: is the difference more than chance?"""

from collections.abc import Sequence
from math import comb


def mcnemar(ours: Sequence[bool], theirs: Sequence[bool]) -> float:
    """Exact two-sided p-value of McNemar's test (1947) on paired successes.

    Only trials that differ count; under chance each is as likely to favour either. 1 without any.
    """
    pairs = list(zip(ours, theirs, strict=True))
    won, lost = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    count = won + lost
    tail = sum(comb(count, k) for k in range(min(won, lost) + 1))
    return min(1.0, 2 * tail / 2**count)
