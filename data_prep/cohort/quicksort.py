"""The order in which numpy's scalar quicksort argsorts whole numbers, on any CPU.

    order = quicksort.argsort(labels)

numpy's `argsort` is an unstable sort: where it leaves equal numbers depends on the code that the CPU selects. The
published cohort was sorted by the scalar code (numpy 1.24.3): median of three, insertion sort for 16 elements and
fewer, heapsort once the partitions are nested too deep. This is that algorithm, which the split depends on.
"""

from collections.abc import Sequence

import numpy as np

SMALL = 16  # rows that insertion sort takes


def argsort(numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    """The positions that sort the numbers, equal ones in the order in which the scalar quicksort leaves them."""
    key = np.asarray(numbers).tolist()
    rows = list(range(len(key)))
    waiting = [(0, len(rows) - 1, 2 * (len(rows).bit_length() - 1))]
    while waiting:
        low, high, depth = waiting.pop()
        if depth < 0:
            _heapsort(rows, key, low, high)
            continue
        while high - low >= SMALL:
            middle = _partition(rows, key, low, high)
            depth -= 1
            if middle - low < high - middle:  # the smaller side is next
                waiting.append((middle + 1, high, depth))
                high = middle - 1
            else:
                waiting.append((low, middle - 1, depth))
                low = middle + 1
        # insertion sort keeps equal numbers in order, and so does Python's sort, which is faster
        rows[low : high + 1] = sorted(rows[low : high + 1], key=key.__getitem__)
    return np.array(rows, dtype=np.intp)


def _partition(rows: list[int], key: list[int], low: int, high: int) -> int:
    """Put smaller numbers before, larger ones after the median of first, middle and last; return where that is."""

    def swap(one: int, other: int) -> None:
        rows[one], rows[other] = rows[other], rows[one]

    middle = low + ((high - low) >> 1)
    for one, other in ((low, middle), (middle, high), (low, middle)):
        if key[rows[other]] < key[rows[one]]:
            swap(one, other)
    pivot = key[rows[middle]]
    left, right = low, high - 1
    swap(middle, right)
    while True:
        left += 1
        while key[rows[left]] < pivot:
            left += 1
        right -= 1
        while pivot < key[rows[right]]:
            right -= 1
        if left >= right:
            break
        rows[left], rows[right] = rows[right], rows[left]
    swap(left, high - 1)
    return left


def _heapsort(rows: list[int], key: list[int], low: int, high: int) -> None:
    """Sort low to high with a binary heap that has the largest on top."""
    heap = rows[low : high + 1]

    def sift(place: int, count: int, row: int) -> None:
        while (child := 2 * place + 1) < count:
            if child + 1 < count and key[heap[child]] < key[heap[child + 1]]:
                child += 1
            if key[row] >= key[heap[child]]:
                break
            heap[place] = heap[child]
            place = child
        heap[place] = row

    for place in range(len(heap) // 2 - 1, -1, -1):
        sift(place, len(heap), heap[place])
    for last in range(len(heap) - 1, 0, -1):
        row, heap[last] = heap[last], heap[0]
        sift(0, last, row)
    rows[low : high + 1] = heap
