"""numpy's own argsort with and without the vector instructions of this CPU, which give equal values another order."""

import io
import os
import subprocess
import sys

import numpy as np
from numpy._core import _multiarray_umath as cpu

# The environment in which numpy uses none of the vector instructions that this CPU has.
SCALAR = {"NPY_DISABLE_CPU_FEATURES": " ".join(name for name in cpu.__cpu_dispatch__ if cpu.__cpu_features__[name])}


def numpy_argsort(arrays: list[np.ndarray], **environment: str) -> list[np.ndarray]:
    """numpy's own argsort of each array, in a process with this environment."""
    program = (
        "import sys, io, numpy as np; arrays = np.load(io.BytesIO(sys.stdin.buffer.read())).values();"
        "np.savez(sys.stdout.buffer, *[np.argsort(array) for array in arrays])"
    )
    packed = io.BytesIO()
    np.savez(packed, *arrays)
    done = subprocess.run(
        [sys.executable, "-c", program], input=packed.getvalue(), env={**os.environ, **environment}, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return list(np.load(io.BytesIO(done.stdout)).values())
