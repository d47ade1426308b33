"""Runs one call of a bash app where its task runs: from the body's command to the outcome."""

from __future__ import annotations

import concurrent.futures
import inspect
import math
import os
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

from fanflow.apps import process
from fanflow.apps.streams import Streams, last_lines, target_of
from fanflow.apps.task_files import check_files, check_outputs
from fanflow.errors import (
    AppBadFormatting,
    AppTimeout,
    BashAppNoReturn,
    BashExitFailure,
    ConfigurationError,
    OptionTypeError,
)

SHELL = "/bin/bash"

SPECIAL_KEYWORDS = frozenset(
    {"inputs", "label", "outputs", "parsl_resource_specification", "stderr", "stdout", "walltime"}
)
"""Keyword arguments that mean something to every bash app, whether its body takes them or not."""


class BashCall:
    """What a worker calls for a bash app: builds the command, runs it, and returns 0.

    The body gets the special keyword arguments that its signature has a place for; all of them may
    be given as defaults in the signature. `stdout` and `stderr` take a path (appended to), a pair of
    path and mode, or a File (overwritten). Standard error that is not redirected goes to file
    descriptor 2 of the worker.

    Args:
        name: The app's name, for messages.
        body: Returns the command: a string for bash, or a list of strings that is run as it is.
        grace: Seconds from SIGTERM to SIGKILL when the command is ended at its walltime or stopped.

    Raises:
        BashExitFailure: The command ended with another status than 0.
        AppTimeout: It ran for longer than its walltime (seconds) and was ended, with all it started.
        concurrent.futures.CancelledError: It was stopped through `codec.stoppable`.
        MissingOutputs: It ended well, but not all `outputs` exist.
        MissingInputsError: An input file, an output's directory or the program does not exist.
        BadStdStreamFile: `stdout` or `stderr` cannot be opened.
        BashAppNoReturn: The body raised AttributeError.
        AppBadFormatting: The body raised IndexError.
        ValueError: What the body returned is no command.
    """

    __slots__ = ("_plan", "body", "grace", "name")

    def __init__(self, name: str, body: Callable[..., object], grace: float = process.GRACE_SECONDS) -> None:
        self.name = name
        self.body = body
        self.grace = grace
        self._plan: _Plan | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return (BashCall, (self.name, self.body, self.grace))

    def __repr__(self) -> str:
        return f"<BashCall {self.name}>"

    def __call__(self, *args: object, **kwargs: object) -> int:
        plan = self._plan
        if plan is None:
            plan = self._plan = _plan_of(self.body)
        options = plan.options(args, kwargs)
        walltime = _walltime(self.name, options.get("walltime"))
        stdout = target_of("stdout", options.get("stdout"))
        stderr = target_of("stderr", options.get("stderr"))
        outputs = _sequence(self.name, "outputs", options.get("outputs"))
        _check_directory(self.name)
        check_files(self.name, _sequence(self.name, "inputs", options.get("inputs")), outputs)
        command = self._command(args, plan.passed(kwargs))
        argv = _argv(self.name, command)
        with Streams(stdout, stderr) as streams:
            if stderr is not None:
                streams.write_header(
                    os.fsencode(command if isinstance(command, str) else shlex.join(command))
                )
            ended = process.run(
                process.Request(self.name, argv, streams.stdout, streams.stderr, walltime, self.grace)
            )
            if ended.how is not process.How.EXITED or ended.status != 0:
                raise self._failure(ended, walltime, streams)
        check_outputs(self.name, outputs)
        return 0

    def _command(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str | list[str]:
        try:
            command = self.body(*args, **kwargs)
        except AttributeError as error:
            raise BashAppNoReturn(
                f"app {self.name!r} returned no command, since its body raised AttributeError: {error}"
            ) from error
        except IndexError as error:
            raise AppBadFormatting(
                f"app {self.name!r} could not format its command: IndexError: {error}"
            ) from error
        return _checked(self.name, command)

    def _failure(self, ended: process.Ended, walltime: float, streams: Streams) -> Exception:
        tail = last_lines(streams.stderr_tail() if streams.stderr is not None else ended.stderr_tail)
        error: Exception
        if ended.how is process.How.EXITED:
            status = ended.status if ended.status >= 0 else 128 - ended.status
            error = BashExitFailure(self.name, status, stderr_tail=tail)
            if status > 128 and (signal_name := _signal_name(status - 128)):
                how = "was" if ended.status < 0 else "says that one of its programs was"
                error.add_note(f"the command {how} killed by {signal_name}")
        else:
            if ended.how is process.How.TIMED_OUT:
                error = AppTimeout(f"App {self.name} exceeded walltime: {walltime} seconds")
            else:
                error = concurrent.futures.CancelledError(f"app {self.name} was stopped")
            if tail:
                error.add_note(f"standard error ended with:\n{tail}")
        if streams.stderr_path is not None:
            error.add_note(f"standard error is in {streams.stderr_path}")
        return error


class _Plan(NamedTuple):
    """What a body's signature says about the special keyword arguments."""

    defaults: Mapping[str, object]
    positions: tuple[tuple[int, str], ...]
    refused: frozenset[str]

    def options(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        """The special arguments of one call, wherever they come from."""
        options = dict(self.defaults)
        options.update((name, args[index]) for index, name in self.positions if index < len(args))
        options.update((name, value) for name, value in kwargs.items() if name in SPECIAL_KEYWORDS)
        return options

    def passed(self, kwargs: Mapping[str, object]) -> Mapping[str, object]:
        """The keyword arguments that the body takes."""
        if self.refused.isdisjoint(kwargs):
            return kwargs
        return {name: value for name, value in kwargs.items() if name not in self.refused}


def _plan_of(body: Callable[..., object]) -> _Plan:
    try:
        parameters = inspect.signature(body).parameters.values()
    except (TypeError, ValueError):  # a callable written in C may have none
        return _Plan({}, (), SPECIAL_KEYWORDS)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        refused: frozenset[str] = frozenset()
    else:
        refused = SPECIAL_KEYWORDS - {parameter.name for parameter in parameters}
    special = [parameter for parameter in parameters if parameter.name in SPECIAL_KEYWORDS]
    return _Plan(
        {
            parameter.name: parameter.default
            for parameter in special
            if parameter.default is not parameter.empty
        },
        tuple(
            (index, parameter.name)
            for index, parameter in enumerate(parameters)
            if parameter in special and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ),
        refused,
    )


def _walltime(name: str, value: object) -> float:
    """Seconds; infinite if there is no limit."""
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OptionTypeError(name, "walltime", value, "a number of seconds")
    if not value > 0:
        raise ConfigurationError(f"{name}(walltime={value!r}): walltime takes more than 0 seconds")
    return value


def _sequence(name: str, option: str, value: object) -> Sequence[object]:
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return cast("Sequence[object]", value)
    raise OptionTypeError(name, option, value, "a list")


def _check_directory(name: str) -> None:
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno,
            f"app {name!r} cannot run: the working directory of its worker has been removed; "
            f"start the program in a directory that stays",
        ) from error


def _checked(name: str, command: object) -> str | list[str]:
    """What the body returned, if it is a command.

    Raises:
        ValueError: It is not; the message says what to return.
    """
    if isinstance(command, str):
        return command
    expected = "Expected a str for bash_app commandline, got"
    if command is None:
        raise ValueError(
            f"{expected} None: app {name!r} returned nothing; end its body with `return`, followed by "
            f"a str (run by bash) or a list[str] (run as it is)"
        )
    if not isinstance(command, list):
        raise ValueError(
            f"{expected} {type(command).__name__} from app {name!r}; return a str (run by bash) or "
            f"a list[str] (run as it is)"
        )
    words: list[str] = []
    for index, word in enumerate(cast("list[object]", command)):
        if not isinstance(word, str):
            raise ValueError(
                f"{expected} a list from app {name!r} with {type(word).__name__} at index {index}; "
                f"a list[str] is run as it is, so convert each item with str()"
            )
        words.append(word)
    if not words or not words[0]:
        raise ValueError(f"{expected} a list from app {name!r} that does not begin with a program")
    return words


def _argv(name: str, command: str | list[str]) -> list[bytes]:
    """The argument vector; `--` keeps a command that begins with a dash from being read as an option."""
    argv: list[bytes] = []
    for word in [SHELL, "-c", "--", command] if isinstance(command, str) else command:
        try:
            encoded = os.fsencode(word)
        except UnicodeEncodeError as error:
            raise ValueError(f"the command of app {name!r} cannot be encoded: {error}") from error
        if b"\0" in encoded:
            raise ValueError(
                f"the command of app {name!r} has a NUL character at position {word.index(chr(0))} of "
                f"{word[:80]!r}; no program takes one"
            )
        argv.append(encoded)
    return argv


def _signal_name(number: int) -> str | None:
    try:
        return signal.Signals(number).name
    except ValueError:
        return None
