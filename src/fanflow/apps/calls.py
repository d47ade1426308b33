"""What a call asks for beyond its arguments: files, streams, limits, resources."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from fanflow.core.task import CallOptions, Task
from fanflow.errors import OptionTypeError
from fanflow.model.files import File
from fanflow.runtime.data_futures import DataFuture
from fanflow.runtime.records import default_std_autopath

if TYPE_CHECKING:
    from concurrent.futures import Future

    from fanflow.runtime.kernel import Kernel

_LONGEST_WALLTIME_S: Final = 1e9
"""Thirty years: clocks of operating systems take little more, and what is longer is no limit."""

AUTO_LOGNAME: Final = -1
"""As `stdout` or `stderr` of a call: a file below the run directory, named after the task."""


class CallPlan:
    """One call's special keywords, checked; `finish` completes them when the task has a number.

    Args:
        app_name: For messages.
        kernel: Whose run directory names AUTO_LOGNAME files.
        kwargs: All keyword arguments of the call; changed in place.

    Raises:
        OptionTypeError: A special keyword has a value of a wrong type.
        ValueError: A file cannot be staged, or a walltime is not positive.
    """

    def __init__(self, app_name: str, kernel: Kernel, kwargs: dict[str, object]) -> None:
        self._app_name = app_name
        self._kernel = kernel
        self._kwargs = kwargs
        self.options = CallOptions()
        if "inputs" in kwargs:
            kwargs["inputs"] = self._inputs(kwargs["inputs"])
        self._output_files = self._outputs(kwargs["outputs"]) if "outputs" in kwargs else []
        if "outputs" in kwargs:
            kwargs["outputs"] = list(self._output_files)
        self.options.walltime = self._walltime(kwargs.get("walltime"))
        self.options.resources = self._resources(kwargs.get("parsl_resource_specification"))

    def _wrong(self, option: str, value: object, expected: str) -> OptionTypeError:
        return OptionTypeError(self._app_name, option, value, expected)

    def _inputs(self, value: object) -> list[object]:
        # A copy: the caller may go on filling the list, with this very call's future for example.
        if not isinstance(value, list | tuple):
            raise self._wrong("inputs", value, "a list of Files, futures or values")
        items = list(cast("Sequence[object]", value))
        for item in items:
            if isinstance(item, File):
                _check_local(item)
        return items

    def _outputs(self, value: object) -> list[File]:
        if not isinstance(value, list | tuple):
            raise self._wrong("outputs", value, "a list of Files")
        files: list[File] = []
        for item in cast("Sequence[object]", value):
            if not isinstance(item, File):
                shown = repr(item) if isinstance(item, str) else "path"
                raise self._wrong("outputs", item, f"Files only; write File({shown})")
            _check_local(item)
            files.append(item.cleancopy())
        return files

    def _walltime(self, value: object) -> float | None:
        if value is None:
            return None
        seconds = float(value) if isinstance(value, numbers.Real) else value  # NumPy's numbers, for example
        if isinstance(value, bool) or not isinstance(seconds, int | float):
            raise self._wrong("walltime", value, "a number of seconds")
        if not seconds > 0:
            raise ValueError(f"{self._app_name}(walltime={value}): walltime must be more than 0 seconds")
        return seconds if seconds < _LONGEST_WALLTIME_S else None

    def _resources(self, value: object) -> Mapping[str, object] | None:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self._wrong("parsl_resource_specification", value, "a dict")
        return dict(cast("Mapping[str, object]", value))

    def finish(self, task: Task) -> None:
        """Name the streams and make the futures of files. Called before the task is handed over."""
        options = self.options
        for stream in ("stdout", "stderr"):
            value = self._kwargs.get(stream)
            if type(value) is int and value == AUTO_LOGNAME:
                value = self._kwargs[stream] = self._auto_path(task, stream)
                options.unkeyed += (stream,)
            if isinstance(value, File):
                _check_local(value)
                value = DataFuture(cast("Future[object]", task.future), value.cleancopy(), task.id)
            setattr(options, stream, value)
        future = cast("Future[object]", task.future)
        options.outputs = [DataFuture(future, file, task.id) for file in self._output_files]

    def _auto_path(self, task: Task, stream: str) -> str:
        name_file: Callable[..., str] | None = self._kernel.settings.std_autopath
        if name_file is None:
            return default_std_autopath(self._kernel.run_dir, self._kernel.record_of(task), stream)
        return name_file(self._kernel.record_of(task), stream)


def _check_local(file: File) -> None:
    if file.scheme != "file":
        raise ValueError(
            f"{file!r} cannot be staged: no executor here takes {file.scheme!r} files; "
            f"fetch it in an app of its own and pass a File with its path"
        )
