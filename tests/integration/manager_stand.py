"""A manager process with an interchange that the test plays."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import psutil
import zmq

from fanflow.codec.calls import pack_parts, unpack_outcome
from fanflow.ids import AttemptId, TaskId
from fanflow.model.attempts import Launch, Returned
from fanflow.pilot import wire
from fanflow.pilot.chunks import Assembly
from fanflow.pilot.parcels import chunks_of

DEADLINE = 20.0


class FreeLatch:
    def claim(self) -> bool:
        return True


class ManagerStand:
    """Starts one manager and speaks to it as its interchange does."""

    def __init__(
        self, directory: Path, slots: int = 2, *, prefix: Sequence[str] = (), **options: object
    ) -> None:
        self.directory = directory
        self.address = f"ipc://{directory}/i"
        self.context = zmq.Context()
        self.identity = b""
        self.registered: wire.Register | None = None
        self.outcomes: dict[int, object] = {}
        """Attempt -> value, exception or Loss."""
        self.repeated = 0
        self.order: list[int] = []
        self.at: dict[int, float] = {}
        self.run_us: dict[int, int] = {}
        self.returned: list[int] = []
        self.printed: list[wire.Printed] = []
        self.answers: list[wire.Answer] = []
        self.left: wire.Leave | None = None
        self.drains = False
        self.want = 0
        self._arriving = Assembly()
        self._numbers: dict[bytes, int] = {}
        self._next = 1
        self.bind()
        config = {
            "access": {"addresses": [self.address]},
            "block": "b0",
            "slots": slots,
            "log_directory": str(directory / "logs"),
            "path": sys.path,
            **options,
        }
        (directory / "manager.json").write_text(json.dumps(config))
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "fanflow.pilot.manager", str(directory / "manager.json")],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def bind(self) -> None:
        self.router: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        self.router.set(zmq.LINGER, 0)
        self.router.set(zmq.SNDHWM, 0)
        self.router.bind(self.address)

    def replace(self) -> None:
        """The interchange dies; another takes its place."""
        self.router.close()
        self.registered = None
        self.bind()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.router.close()
        self.context.term()

    # -- out ------------------------------------------------------------------------------------

    def say(self, header: wire.Message, *frames: bytes | memoryview) -> None:
        self.router.send_multipart([self.identity, wire.encode(header), *frames])

    def function(self, head: bytes) -> int:
        if head not in self._numbers:
            number = self._numbers[head] = len(self._numbers)
            self.say(wire.Function(number, hashlib.blake2b(head, digest_size=16).digest()), head)
        return self._numbers[head]

    def submit(
        self, function: Callable[..., object], calls: Iterable[tuple[object, ...]], **options: object
    ) -> list[int]:
        """Send one attempt for each tuple of arguments; returns their numbers."""
        items, small, numbers = [], [], []
        for args in calls:
            number = self._next
            self._next += 1
            head, body = pack_parts(
                Launch(AttemptId(number), TaskId(number), "app", function, args, {}, FreeLatch())
            )
            item = wire.TaskItem(number, self.function(head), len(body), **options)  # type: ignore[arg-type]
            items.append(item)
            numbers.append(number)
            if len(body) > wire.INLINE_LIMIT:
                for frames in chunks_of(number, body):
                    self.router.send_multipart([self.identity, *frames])
            else:
                small.append(body)
        self.say(wire.Tasks(items), b"".join(small))
        return numbers

    # -- in -------------------------------------------------------------------------------------

    def receive(self, patience: float) -> bool:
        if not self.router.poll(patience * 1000):
            return False
        identity, header, *frames = self.router.recv_multipart()
        message = wire.decode_from_manager(header)
        if isinstance(message, wire.Register):
            self.identity, self.registered = identity, message
            self.say(wire.Accepted(500, 5000))
        elif isinstance(message, wire.Results):
            self._on_results(message, frames[0])
        elif isinstance(message, wire.Return):
            self.returned += message.attempts
        elif isinstance(message, wire.Printed):
            self.printed.append(message)
        elif isinstance(message, wire.Answer):
            self.answers.append(message)
        elif isinstance(message, wire.Leave):
            self.left = message
        elif isinstance(message, wire.Drain):
            self.drains = True
        elif isinstance(message, wire.Want):
            self.want = message.total
        elif isinstance(message, wire.Chunk):
            self._arriving.add(message.attempt, message.offset, frames[0])
            self.say(wire.Passed(len(frames[0])))
        elif isinstance(message, wire.Heartbeat):
            self.say(wire.Heartbeat())
        return True

    def _on_results(self, message: wire.Results, blob: bytes) -> None:
        for item, part in zip(message.items, wire.split(message.items, blob), strict=True):
            self.repeated += item.attempt in self.outcomes
            self.order.append(item.attempt)
            self.at[item.attempt] = time.monotonic()
            self.run_us[item.attempt] = item.run_us
            if item.lost is not None:
                self.outcomes[item.attempt] = item.lost
                continue
            data = bytes(part)
            if item.size > wire.INLINE_LIMIT:
                data = b"".join(self._arriving.finish(item.attempt, item.size))
            outcome = unpack_outcome(data, AttemptId(item.attempt))
            self.outcomes[item.attempt] = outcome.value if isinstance(outcome, Returned) else outcome.error

    def wait_until(self, is_so: Callable[[], bool], patience: float = DEADLINE) -> None:
        deadline = time.monotonic() + patience
        while not is_so():
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError("it did not come to be so in time")
            self.receive(min(left, 0.05))

    def connect(self) -> "ManagerStand":
        self.wait_until(lambda: self.registered is not None)
        return self

    def results(self, numbers: Sequence[int], patience: float = DEADLINE) -> list[object]:
        self.wait_until(lambda: all(number in self.outcomes for number in numbers), patience)
        return [self.outcomes[number] for number in numbers]

    def run(self, function: Callable[..., object], *args: object, **options: object) -> object:
        """One attempt and its outcome."""
        return self.results(self.submit(function, [args], **options))[0]

    def descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


@contextlib.contextmanager
def manager(
    directory: Path, slots: int = 2, *, prefix: Sequence[str] = (), **options: object
) -> Iterator[ManagerStand]:
    """A stand whose manager is connected."""
    stand = ManagerStand(directory, slots, prefix=prefix, **options)
    try:
        yield stand.connect()
    finally:
        stand.close()
