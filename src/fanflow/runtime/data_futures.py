"""The future of a file that a task makes."""

from __future__ import annotations

from concurrent.futures import Future
from typing import NoReturn

from fanflow.model.files import File
from fanflow.runtime.futures import AppFuture, outcome_of, refuse_to_leave


class DataFuture(Future[File]):
    """A file that will be there when its task has ended; its result is the `File`.

    Pass it on where a file is expected: the task that takes it waits for the one that makes it.

    Args:
        fut: What it follows; usually an `AppFuture`.
        file_obj: The file.
        tid: Number of the task that makes it.
    """

    def __init__(self, fut: Future[object], file_obj: File, tid: int) -> None:
        super().__init__()
        self.parent = fut
        """The future it follows."""
        self.file_obj = file_obj
        self._tid = tid
        fut.add_done_callback(self._on_parent_done)

    def _on_parent_done(self, parent: Future[object]) -> None:
        _, error = outcome_of(parent)
        if error is None:
            self.set_result(self.file_obj)
        else:
            self.set_exception(error)

    def result(self, timeout: float | None = None) -> File:
        """The file, when its task has ended. Waits and raises as that task's future does."""
        return super().result(self._before_wait(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What its task raised, or None."""
        return super().exception(self._before_wait(timeout))

    def _before_wait(self, timeout: float | None) -> float | None:
        parent = self.parent
        return parent.before_wait(timeout) if isinstance(parent, AppFuture) and not self.done() else timeout

    @property
    def tid(self) -> int:
        """Number of the task that makes the file."""
        return self._tid

    @property
    def filepath(self) -> str:
        """Where the file is, or will be, on this machine."""
        return self.file_obj.filepath

    @property
    def filename(self) -> str:
        """The same as `filepath`, for existing programs."""
        return self.filepath

    def cancel(self) -> bool:
        """Not possible for one file of a task.

        Raises:
            NotImplementedError: Always; cancel the task's own future.
        """
        raise NotImplementedError("Cancel not implemented for a DataFuture; cancel its parent future")

    def cancelled(self) -> bool:
        """Always False: if its task is cancelled it raises `CancelledError`."""
        return False

    def __reduce__(self) -> NoReturn:
        refuse_to_leave()

    def __repr__(self) -> str:
        state = "done" if self.done() else "not done"
        return f"<DataFuture from task {self._tid} of {self.file_obj!r}, {state}>"
