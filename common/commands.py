"""How every command starts and ends: --help with an example, one sentence and status 2 for bad input.

A command is a module with `def main(argv: list[str] | None = None) -> None` that ends with

    if __name__ == "__main__":
        run(main)

so that bad input, raised as UserError anywhere below, ends it with a sentence and status 2.
"""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from common import bars


class UserError(Exception):
    """Bad input: its message is one sentence that names the file, row or key and says what to do."""


# what a full disk, missing rights, and a file in the place of a folder or a folder in that of a file say
NO_PLACE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS),
    *(errno.EEXIST, errno.EISDIR, errno.ENOTDIR),
)


def run(main: Callable[[], None]) -> NoReturn:
    """Call main; end with status 0, 2 and a sentence for bad input, 130 after Ctrl-C, 141 when nobody reads on."""
    bars.calm()
    try:
        main()
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader (head, less) has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)  # as other programs end then: what the command was for is not done
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        what = f"{error.filename or 'a file'} cannot be written or read"
        fail(f"{what}: {os.strerror(error.errno)}; free or change the place")
    sys.exit(0)


def fail(sentence: str) -> NoReturn:
    """End with the sentence on stderr and exit status 2."""
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)


def parser(doc: str, example: str | None = None, **more: Any) -> argparse.ArgumentParser:
    """An argument parser whose --help starts with the module's first paragraph and ends with an example.

    The example is the first command of the module's text where none is given.
    """
    example = example or next(line.strip() for line in doc.splitlines() if line.startswith("    "))
    return argparse.ArgumentParser(
        description=doc.strip().split("\n\n")[0],
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **more,
    )


def existing(path: str | os.PathLike[str], what: str, remedy: str) -> Path:
    """The path, or a sentence that says what is missing and how to get it."""
    if not Path(path).exists():
        raise UserError(f"{what} {path} does not exist; {remedy}")
    return Path(path)
