"""What all commands share; and one sentence for a Python that cannot run them, whichever command it starts.

Every package of commands imports this one first, before anything of it asks for what may not be installed.
"""

import os
import sys

_report = sys.excepthook


def _report_missing(kind, error, trace):  # type: ignore[no-untyped-def]
    """A missing package, or a Python too old to read on, as a sentence; all else as before."""
    name = (getattr(error, "name", None) or "").partition(".")[0]
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    old, ours = sys.version_info < (3, 11), os.path.isdir(os.path.join(here, name or "."))
    if not old and (ours or kind is not ModuleNotFoundError):
        return _report(kind, error, trace)
    made = [one for one in (".venv-gpu", ".venv-cpu") if os.path.exists(os.path.join(here, one, "bin", "python"))]
    version = ".".join(map(str, sys.version_info[:2]))
    what = f"is {version} and 3.11 or 3.12 is needed" if old else f"lacks the package {name}"
    first = "" if made else "`make setup` and then "
    use = f"say {first}`source {made[0] if made else '.venv-cpu'}/bin/activate`"
    print(f"error: the Python {sys.executable} {what}; {use}, or install requirements.txt", file=sys.stderr)
    sys.exit(2)


sys.excepthook = _report_missing
