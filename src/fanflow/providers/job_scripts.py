"""Job scripts: checked names, quoted values, files that nobody else can read."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path
from typing import Final

from fanflow.providers.errors import ScriptPathError, SubmitException

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


def check_job_name(name: str) -> None:
    """Lets a name pass that means nothing special to shells, schedulers and file systems.

    Raises:
        SubmitException: It is another one.
    """
    if not _NAME.fullmatch(name):
        raise SubmitException(
            name[:200],
            "a job name has 1 to 200 of the letters A-Z and a-z, digits and '._+-', and begins with a letter "
            "or digit; use another name or executor label",
        )


def make_script_dir(directory: Path) -> None:
    """Makes a directory for scripts, which is the user's alone.

    Raises:
        ScriptPathError: That fails, or something else has its name.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ScriptPathError(str(directory), error) from error


def new_script_path(directory: Path, name: str) -> Path:
    """Makes an empty script that is the user's alone; a number is added to a name that is taken.

    Raises:
        ScriptPathError: It cannot be made.
    """
    make_script_dir(directory)
    count = 0
    while True:
        path = directory / f"{name}.{count}.sh" if count else directory / f"{name}.sh"
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700))
        except FileExistsError:
            count += 1
        except OSError as error:
            raise ScriptPathError(str(path), error) from error
        else:
            return path


def script_text(path: Path, worker_init: str, launched: str) -> str:
    """The script: it keeps its exit status in a file beside it.

    Args:
        path: Where the script is; its stem is the job's name.
        worker_init: The user's shell text, run first.
        launched: Shell text that starts the command.
    """
    status_file = shlex.quote(f"{path}.ec")
    keep_status = f'echo "$?" >{status_file}'
    return (
        "#!/bin/bash\n"
        f"export JOBNAME={shlex.quote(path.stem)}\n"
        f"trap {shlex.quote(keep_status)} EXIT\n"
        f"{worker_init}\n"
        f"{launched}\n"
    )


def write_script(path: Path, text: str) -> None:
    """Fills a script.

    Raises:
        ScriptPathError: That fails.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ScriptPathError(str(path), error) from error


def write_exit_status(script: Path, text: str) -> None:
    """Keeps what is known of the exit status; not being able to is no reason to fail."""
    with contextlib.suppress(OSError):
        Path(f"{script}.ec").write_text(f"{text}\n", encoding="ascii")


def read_exit_status(script: Path) -> int | None:
    """The exit status that a script kept itself; None if it had no time to."""
    try:
        return int(Path(f"{script}.ec").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
