"""Memory that a process has freed and takes again, which is what training on a CPU does with every tensor."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
LARGEST = 2**31 - 1  # mallopt takes an int


def keep_what_is_freed() -> None:
    """Leave freed memory, up to 2 GB, with this process instead of giving it back to the kernel (glibc).

    As it is, glibc returns every tensor above some megabytes, and the kernel zeroes its pages for the next one: a
    fourth of the time of a CPU training step. Kept, a process has about a tenth more memory at its peak.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
