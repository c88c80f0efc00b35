"""How sure a number is: intervals by a bootstrap over patients, and the comparison of two runs.

    bootstrap = Bootstrap(draws=1000, seed=0)
    (estimate,) = means(values, patients, bootstrap)  # values: a column, one per case
    estimate.value, estimate.interval()
    difference(estimate, other).interval()            # the same seed drew the same patients for both

Means and ratios: patients are drawn with replacement, each with all its cases; the interval is what 95 % of the draws
lie in. Macro averages: the set of classes that occur depends on the sample, a class with one case is missing from a
third of such draws, and their percentiles cover the truth in 65 to 85 % of simulations. So half of the patients are
drawn without replacement (a half-sample bootstrap: for a mean its variance is exactly that of the sample, and whether
a rare class occurs varies as it does between samples) and the interval is the value +- 1.96 standard deviations.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.scoring.metrics import Array

LEVEL = 0.95
NORMAL = 1.959964  # standard deviations on each side of 95 %
DRAWS_AT_ONCE = 64
SAME = 1e-12  # values of two runs closer than this are equal


@dataclass(frozen=True)
class Bootstrap:
    """How many draws, and their seed: the same seed draws the same patients."""

    draws: int = 1000
    seed: int = 0

    def resamples(self, size: int) -> Iterator[Array]:
        """How often each of `size` patients is drawn: blocks of shape (size, draws)."""
        random = np.random.default_rng(self.seed)
        for now in self._blocks():
            drawn = random.integers(0, size, (now, size)) + np.arange(now)[:, None] * size
            yield np.bincount(drawn.ravel(), minlength=now * size).reshape(now, size).T.astype(float)

    def half_samples(self, size: int) -> Iterator[Array]:
        """1 for every patient of a random half of `size`, 0 for the others: blocks of shape (size, draws)."""
        random = np.random.default_rng(self.seed)
        for now in self._blocks():
            half = max(1, (size + int(random.integers(2))) // 2)
            chosen = random.random((now, size), dtype=np.float32).argpartition(half - 1, axis=1)[:, :half]
            weights = np.zeros((now, size))
            np.put_along_axis(weights, chosen, 1.0, axis=1)
            yield np.ascontiguousarray(weights.T)

    def totals(self, values: Any, patients: Array) -> Array:
        """The sums of each column of `values` (cases x M, also sparse) in every draw of patients: (draws, M)."""
        from scipy.sparse import csr_matrix
        from threadpoolctl import threadpool_limits

        size, cluster = number(patients)
        cases = csr_matrix((np.ones(len(cluster)), (cluster, np.arange(len(cluster)))), shape=(size, len(cluster)))
        sums = (cases @ values).T
        # Products this small gain nothing from threads, which wait for one another where others use the cores.
        with threadpool_limits(1, "blas"):
            return np.concatenate([np.asarray(sums @ weights).T for weights in self.resamples(size)])

    def _blocks(self) -> Iterator[int]:
        for start in range(0, self.draws, DRAWS_AT_ONCE):
            yield min(DRAWS_AT_ONCE, self.draws - start)


@dataclass(frozen=True)
class Estimate:
    """A value, its bootstrap draws, and what they were drawn for."""

    value: float
    draws: Array
    n: int  # cases
    cases: Array | None = None  # the values per case, where the estimate is their mean
    bounds: tuple[float, float] | None = None  # given: the interval is from the draws' deviation, not percentiles

    def interval(self) -> list[float]:
        """The 95 % interval."""
        if self.bounds is None:
            return percentiles(self.draws[:, None])[:, 0].tolist()
        wide = NORMAL * float(np.nanstd(self.draws))
        low, high = self.bounds
        return [max(low, self.value - wide), min(high, self.value + wide)]

    def cell(self) -> dict[str, Any]:
        """The value and its interval, as scores.json has them."""
        return {"value": self.value, "interval": self.interval()}


def number(names: Array) -> tuple[int, Array]:
    """How many different names there are, and the number of each."""
    known, numbers = np.unique(names, return_inverse=True)
    return len(known), numbers


def means(columns: Array, patients: Array, bootstrap: Bootstrap) -> list[Estimate]:
    """The mean of every column of (cases, M)."""
    return ratios(columns, np.ones((len(columns), 1)), patients, bootstrap, keep=True)


def ratios(above: Array, below: Array, patients: Array, bootstrap: Bootstrap, keep: bool = False) -> list[Estimate]:
    """The sum of every column of `above` over the sum of that column of `below` (or of its only one); 0 for 0 / 0.

    Both may be sparse.
    """
    from scipy.sparse import hstack, issparse

    width = above.shape[1]
    both = (hstack if issparse(above) else np.hstack)([above, below]).astype(float)
    totals = bootstrap.totals(both, patients)
    drawn = divide(totals[:, :width], totals[:, width:])
    values = divide(above.sum(axis=0), below.sum(axis=0), 0.0)
    counted = np.broadcast_to((below > 0).sum(axis=0), (width,))
    return [
        Estimate(float(value), drawn[:, i], int(counted[i]), above[:, i] if keep else None)
        for i, value in enumerate(values)
    ]


def divide(above: Array, below: Array, nothing: float = np.nan) -> Array:
    """above / below, and `nothing` where below is 0."""
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.full(above.shape, nothing), where=below != 0)


def percentiles(draws: Array) -> Array:
    """The bounds of the middle 95 % of each column, shape (2, M); nan is no draw, and without any it is 0."""
    ordered = np.sort(draws, axis=0)  # nan last
    last = np.maximum((~np.isnan(draws)).sum(axis=0) - 1, 0)
    found = []
    for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
        at = share * last
        low = np.floor(at).astype(int)
        below, above = (np.take_along_axis(ordered, np.minimum(i, last)[None], axis=0)[0] for i in (low, low + 1))
        found.append(below + (at - low) * (above - below))
    return np.nan_to_num(np.array(found))


def difference(this: Estimate, that: Estimate) -> dict[str, Any]:
    """this - that over the same cases: value, interval, and the exact test where both are means over cases.

    The test is McNemar's exact one where values are 0 or 1: among the cases whose values differ, is each direction
    equally likely?
    """
    bounds = this.bounds and (this.bounds[0] - this.bounds[1], this.bounds[1] - this.bounds[0])
    both = Estimate(this.value - that.value, this.draws - that.draws, this.n, bounds=bounds)
    row = both.cell() | {"n": both.n, "better": None, "worse": None, "p": None}
    if this.cases is None or that.cases is None:
        return row
    from scipy.stats import binomtest

    gain = this.cases - that.cases
    better, worse = int((gain > SAME).sum()), int((gain < -SAME).sum())
    p = float(binomtest(better, better + worse, 0.5).pvalue) if better + worse else 1.0
    return row | {"better": better, "worse": worse, "p": p}
