"""What a task or a program sees when a worker, a manager or an interchange fails.

By contract with existing programs these derive from `Exception` alone; their first sentences are fixed.
Causes are attributes and notes.
"""

from __future__ import annotations

from fanflow.errors import FanflowError


class WorkerLost(Exception):  # noqa: N818 - contract name
    """A worker process died while it ran a task.

    Attributes:
        worker_id: Number of the worker on its node.
        hostname: The node.
        cause: `signal`, `exit`, `memory` or `manager`.
        detail: The signal, the exit status or the limit, and the end of the worker's standard error.
    """

    def __init__(self, worker_id: int, hostname: str, *, cause: str = "", detail: str = "") -> None:
        self.worker_id, self.hostname, self.cause, self.detail = worker_id, hostname, cause, detail
        super().__init__(worker_id, hostname)
        if detail:
            self.add_note(f"cause: {detail}")

    def __str__(self) -> str:
        return f"Task failure due to loss of worker {self.worker_id} on host {self.hostname}"


class ManagerLost(Exception):  # noqa: N818 - contract name
    """A node's manager ended, or stopped answering, while it held a task.

    Attributes:
        manager_id: The manager's uid.
        hostname: The node.
        detail: How it was noticed.
    """

    def __init__(self, manager_id: str, hostname: str, *, detail: str = "") -> None:
        self.manager_id, self.hostname, self.detail = manager_id, hostname, detail
        super().__init__(manager_id, hostname)
        if detail:
            self.add_note(f"cause: {detail}")

    def __str__(self) -> str:
        return f"Task failure due to loss of manager {self.manager_id} on host {self.hostname}"


class MessageTooLargeError(FanflowError):
    """The arguments of one call, or its result, are larger than what may be sent.

    Attributes:
        size: Bytes when pickled.
        limit: Bytes that may be sent.
    """

    def __init__(self, what: str, size: int, limit: int) -> None:
        self.what, self.size, self.limit = what, size, limit
        super().__init__(
            f"{what} cannot be sent: {size:,} bytes when pickled, and at most {limit:,} bytes may be sent; "
            f"pass the name of a file instead"
        )
