"""Starts a program without a copy of this process, or says why it cannot be started."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from functools import partial

from fanflow.errors import MissingInputsError

# What this process ignores or handles is not the program's business. SIGHUP stays as it is, for nohup.
_DEFAULT_SIGNALS = (
    signal.SIGINT,
    signal.SIGPIPE,
    signal.SIGTERM,
    signal.SIGQUIT,
    signal.SIGCHLD,
    signal.SIGXFSZ,
)

_HINTS = {
    errno.E2BIG: "arguments and environment are too long (one argument takes 131071 bytes on Linux); "
    "write the command to a file, or pass data through files",
    errno.ENOEXEC: "this machine cannot run it; a script needs a first line such as #!/bin/bash",
    errno.EACCES: "it is not executable here (chmod +x), or a directory on the way is closed to you",
    errno.ENOENT: "it exists, but the interpreter that its first line names does not",
}


def spawn(started: list[int], name: str, argv: list[bytes], stdout: int | None, stderr: int | None) -> None:
    """Starts a program as the leader of a new session, with `/dev/null` as standard input.

    Args:
        started: The process id is appended. A return value could be lost: an exception injected
            into this thread arrives between a call and the assignment of what it returned.
        name: The app's name, for messages.
        argv: The program, looked for on PATH unless it contains a slash, and its arguments.
        stdout: Descriptor that becomes standard output, or None for that of this process.
        stderr: The same for standard error.

    Raises:
        MissingInputsError: There is no such program.
        OSError: It cannot be started; the message says what to do.
    """
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    ]
    if stdout is not None:
        actions.append((os.POSIX_SPAWN_DUP2, stdout, 1))
    if stderr is not None:
        actions.append((os.POSIX_SPAWN_DUP2, stderr, 2))
    start = partial(
        os.posix_spawnp, argv[0], argv, file_actions=actions, setsigmask=(), setsigdef=_DEFAULT_SIGNALS
    )
    environment = dict(os.environ)  # half as expensive as letting posix_spawn go through os.environ itself
    try:
        try:
            started.extend(map(partial(start, setsid=True), (environment,)))
        except NotImplementedError:  # a C library without sessions; a group is enough to end it
            started.extend(map(partial(start, setpgroup=0), (environment,)))
    except OSError as error:
        raise _explained(name, os.fsdecode(argv[0]), error) from error


def _explained(name: str, program: str, error: OSError) -> Exception:
    if error.errno == errno.ENOENT and shutil.which(program, os.F_OK) is None:
        return MissingInputsError(name, [program], what="program")
    hint = _HINTS.get(error.errno or 0)
    text = f"{program!r} of app {name!r} cannot be started: {os.strerror(error.errno or 0)}"
    return OSError(error.errno, f"{text}; {hint}" if hint else text)
