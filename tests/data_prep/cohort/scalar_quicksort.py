"""numpy's scalar quicksort as numpy 1.24.3 has it, which sorted the published cohort: what a later one must still do.

Median of three, insertion sort for 16 elements and fewer, heapsort once the partitions are nested too deep.
"""

from collections.abc import Sequence

import numpy as np

SMALL = 16  # rows that insertion sort takes


def argsort(numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    """The positions that sort the numbers, equal ones in the order in which the scalar quicksort leaves them."""
    key = np.asarray(numbers).tolist()
    rows = list(range(len(key)))  # key[i] moves along with rows[i]
    low, high = 0, len(rows) - 1
    depth = 2 * (len(rows).bit_length() - 1)
    waiting: list[tuple[int, int, int]] = []
    while True:
        if depth < 0:
            _heapsort(rows, key, low, high)
        else:
            while high - low >= SMALL:
                middle = _partition(rows, key, low, high)
                depth -= 1
                if middle - low < high - middle:  # the smaller side is next
                    waiting.append((middle + 1, high, depth))
                    high = middle - 1
                else:
                    waiting.append((low, middle - 1, depth))
                    low = middle + 1
            _insertion_sort(rows, key, low, high)
        if not waiting:
            return np.array(rows, dtype=np.intp)
        low, high, depth = waiting.pop()


def _partition(rows: list[int], key: list[int], low: int, high: int) -> int:
    """Put smaller numbers before, larger ones after the median of first, middle and last; return where that is."""

    def swap(one: int, other: int) -> None:
        rows[one], rows[other] = rows[other], rows[one]
        key[one], key[other] = key[other], key[one]

    middle = low + ((high - low) >> 1)
    if key[middle] < key[low]:
        swap(middle, low)
    if key[high] < key[middle]:
        swap(high, middle)
    if key[middle] < key[low]:
        swap(middle, low)
    pivot = key[middle]
    left, right = low, high - 1
    swap(middle, right)
    while True:
        left += 1
        while key[left] < pivot:
            left += 1
        right -= 1
        while pivot < key[right]:
            right -= 1
        if left >= right:
            break
        rows[left], rows[right] = rows[right], rows[left]
        key[left], key[right] = key[right], key[left]
    swap(left, high - 1)
    return left


def _insertion_sort(rows: list[int], key: list[int], low: int, high: int) -> None:
    """Insertion sort keeps equal numbers in order, and so does Python's sort, which is faster."""
    order = sorted(range(low, high + 1), key=key.__getitem__)
    rows[low : high + 1], key[low : high + 1] = [rows[i] for i in order], [key[i] for i in order]


def _heapsort(rows: list[int], key: list[int], low: int, high: int) -> None:
    """Sort low to high with a binary heap that has the largest on top."""
    pairs = list(zip(key[low : high + 1], rows[low : high + 1], strict=True))

    def sift(place: int, count: int, pair: tuple[int, int]) -> None:
        while (child := 2 * place + 1) < count:
            if child + 1 < count and pairs[child][0] < pairs[child + 1][0]:
                child += 1
            if pair[0] >= pairs[child][0]:
                break
            pairs[place] = pairs[child]
            place = child
        pairs[place] = pair

    for place in range(len(pairs) // 2 - 1, -1, -1):
        sift(place, len(pairs), pairs[place])
    for last in range(len(pairs) - 1, 0, -1):
        pair, pairs[last] = pairs[last], pairs[0]
        sift(0, last, pair)
    key[low : high + 1], rows[low : high + 1] = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
