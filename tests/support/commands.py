"""Commands as a user types them: `python -m …` called in this process, and in one of its own where that is the point.

    done = run_command("eval.score", "--generations", folder)            # its main(argv), within a second
    done = run_process("eval.generate", "--data", data, …)               # Ray, torch's threads, signals, import weight
    done = run_process("bash", "recipes/launch.sh", "drg_sapphire/strict", DATA_DIR="data")

Both start in the repository's root with the variables that are named added to the environment, and give what a user
sees: status, output and errors.
"""

import importlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common import commands

ROOT = Path(__file__).resolve().parent.parent.parent
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)
# Streams that stay open and write to whatever the descriptor is then: a logger may keep one beyond its command.
OUTPUT, ERRORS = (os.fdopen(number, "w", 1, encoding="utf-8", closefd=False) for number in (1, 2))

Done = subprocess.CompletedProcess[str]


def run_process(*words: object, cwd: Path = ROOT, **environment: str) -> Done:
    """Run `python -m …` or `bash …` in a process of its own; `cwd` names a copy of the repository."""
    command = [str(word) for word in words]
    if command[0] != "bash":
        command = [sys.executable, "-m", *command]
    env = os.environ | _environment(environment)
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def run_command(*words: object, stdin: str = "", **environment: str) -> Done:
    """Call the `main(argv)` of `python -m …` in this process, as its last line does, and undo what it leaves behind."""
    if words[0] == "bash":
        return run_process(*words, **environment)
    module, *argv = (str(word) for word in words)

    def call() -> None:
        importlib.import_module(module).main(argv)

    with ExitStack() as stack:
        output, errors = stack.enter_context(_streams(stdin))
        stack.enter_context(_places(module, argv, _environment(environment)))
        status = _status_of(lambda: commands.run(call))
        OUTPUT.flush()
        ERRORS.flush()
        for stream in (output, errors):
            stream.seek(0)
        return subprocess.CompletedProcess([module, *argv], status, output.read(), errors.read())


def assert_refused(done: Done, *said: str) -> None:
    """Status 2 and one sentence that says these things; never a traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    for text in said:
        assert text in errors[0], errors[0]


def _environment(named: dict[str, str]) -> dict[str, str]:
    return {"PYTHON": sys.executable, **named}


def _status_of(call: Callable[[], object]) -> int:
    """The exit status that Python would end with; what it would print on the way is printed."""
    try:
        call()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def _streams(stdin: str) -> Iterator[tuple[io.TextIOBase, io.TextIOBase]]:
    """Standard input from this text, output and errors to two files, by name and by descriptor."""
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(3)]
        files[0].write(stdin)
        files[0].seek(0)
        before, kept = (sys.stdin, sys.stdout, sys.stderr), [os.dup(number) for number in range(3)]
        for number, file in enumerate(files):
            os.dup2(file.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = files[0], OUTPUT, ERRORS
        try:
            yield files[1], files[2]
        finally:
            OUTPUT.flush()
            ERRORS.flush()
            for number, saved in enumerate(kept):
                os.dup2(saved, number)
                os.close(saved)
            sys.stdin, sys.stdout, sys.stderr = before


@contextmanager
def _places(module: str, argv: list[str], named: dict[str, str]) -> Iterator[None]:
    """The root as working folder, this command line and environment; then everything as it was, and the signals."""
    before = os.getcwd(), sys.argv, dict(os.environ), {number: signal.getsignal(number) for number in SIGNALS}
    os.chdir(ROOT)
    sys.argv = [str(ROOT / f"{module.replace('.', '/')}.py"), *argv]
    os.environ.update(named)
    try:
        yield
    finally:
        os.chdir(before[0])
        sys.argv = before[1]
        os.environ.clear()
        os.environ.update(before[2])
        for number, handler in before[3].items():
            if handler is not None:  # one that Python did not set cannot be set by it
                signal.signal(number, handler)


def refused(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the launcher's two commands say, in their order, of a run that one of them refuses."""
    done = run_command("recipes.check", *words, **environment)
    return done if done.returncode else run_command("recipes.run", *words, **environment)
