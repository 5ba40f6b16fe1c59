"""Success rates with their 95 % Wilson score interval (Wilson 1927)."""

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054  # 97.5 % quantile of the standard normal


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """`k` successes in `n` trials; `lo` and `hi` bound the 95 % interval of the true rate."""

    n: int
    k: int
    rate: float
    lo: float
    hi: float


def wilson(k: int, n: int) -> Proportion:
    """The interval of `k` of `n`; without trials the rate is 0 and the interval says nothing."""
    if not 0 <= k <= n:
        raise ValueError(f"expected 0 <= k <= n, got k={k}, n={n}")
    if n == 0:
        return Proportion(n=0, k=0, rate=0.0, lo=0.0, hi=1.0)
    rate, z2 = k / n, Z_95**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    # at the ends the bound is exact; rounding must not push it past the rate
    lo = 0.0 if k == 0 else centre - half
    hi = 1.0 if k == n else centre + half
    return Proportion(n=n, k=k, rate=rate, lo=lo, hi=hi)
