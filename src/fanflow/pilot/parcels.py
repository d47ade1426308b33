"""Calls on their way out and outcomes on their way in, as the client packs and unpacks them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from fanflow.codec.calls import pack_parts
from fanflow.errors import InvalidResourceSpecification
from fanflow.model.attempts import Launch
from fanflow.pilot import wire
from fanflow.pilot.errors import MessageTooLargeError
from fanflow.pilot.wire import CHUNK_BYTES, Chunk, Function, TaskItem

_MB: Final = 1 << 20
"""Batch systems, too, count memory in powers of two."""

_MOST_MB: Final = 1 << 40


class Packed(NamedTuple):
    """One call, ready to be sent, and again if it is given back."""

    name: str
    """The app's, for messages."""
    item: TaskItem
    body: bytes | memoryview


class Functions:
    """Numbers of functions: each is sent once, by its content."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._bodies: list[bytes] = []
        self._new: list[int] = []

    def number(self, head: bytes) -> int:
        """The function's number; a new one is noted for `take_new`."""
        known = self._numbers.get(head)
        if known is None:
            known = self._numbers[head] = len(self._bodies)
            self._bodies.append(head)
            self._new.append(known)
        return known

    def take_new(self) -> list[list[bytes]]:
        """Messages for functions that have not been sent yet."""
        new, self._new = self._new, []
        return [self._message(number) for number in new]

    def all(self) -> list[list[bytes]]:
        """Messages for all functions, for an interchange that starts anew."""
        self._new = []
        return [self._message(number) for number in range(len(self._bodies))]

    def _message(self, number: int) -> list[bytes]:
        body = self._bodies[number]
        digest = hashlib.blake2b(body, digest_size=16).digest()
        return [wire.encode(Function(number, digest)), body]


def pack(launch: Launch, functions: Functions, most_bytes: int = wire.MAX_PAYLOAD_BYTES) -> Packed:
    """A call as it is sent.

    Raises:
        PicklingError: An argument or the function cannot be pickled.
        MessageTooLargeError: The arguments have more than `most_bytes` when they are pickled.
        InvalidResourceSpecification: The call asks for something that this engine does not know.
    """
    head, body = pack_parts(launch)
    if len(body) > most_bytes:
        raise MessageTooLargeError(f"the arguments of app {launch.name!r}", len(body), most_bytes)
    item = TaskItem(launch.attempt, functions.number(head), len(body))
    if launch.walltime is not None:
        item.walltime_ms = max(1, round(launch.walltime * 1000))
    if launch.resources:
        _add_resources(item, launch.resources)
    return Packed(launch.name, item, body)


def _add_resources(item: TaskItem, resources: Mapping[str, object]) -> None:
    unknown = set(resources) - {"priority", "memory"}
    if unknown:
        raise InvalidResourceSpecification(
            unknown, "this executor takes only 'priority', an int, and 'memory', a limit in MB"
        )
    if "priority" in resources:
        priority = resources["priority"]
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise InvalidResourceSpecification({"priority"}, f"priority must be an int, not {priority!r}")
        item.priority = priority
    if "memory" in resources:
        item.memory_bytes = _memory_bytes(resources["memory"])
    item.environment = {f"PARSL_{key.upper()}": str(value) for key, value in resources.items()}


def _memory_bytes(memory: object) -> int:
    if isinstance(memory, bool) or not isinstance(memory, int | float) or not 0 < memory <= _MOST_MB:
        raise InvalidResourceSpecification(
            {"memory"}, f"memory must be a number of MB above 0, such as 500, not {memory!r}"
        )
    return max(1, round(memory * _MB))


def check_resources(resources: Mapping[str, object]) -> None:
    """Check what a call asks for.

    Raises:
        InvalidResourceSpecification: This engine does not know it.
    """
    if resources:
        _add_resources(TaskItem(0, 0, 0), resources)


def chunks_of(
    attempt: int, body: bytes | memoryview, *, is_result: bool = False
) -> Iterator[list[bytes | memoryview]]:
    """The messages in which a large payload travels."""
    view = memoryview(body)
    for offset in range(0, len(body), CHUNK_BYTES):
        header = wire.encode(Chunk(attempt, offset, is_result))
        yield [header, view[offset : offset + CHUNK_BYTES]]


def messages_of(calls: list[Packed]) -> list[list[bytes | memoryview]]:
    """The message for calls with small payloads."""
    if not calls:
        return []
    return [[wire.encode(wire.Tasks([call.item for call in calls])), b"".join([call.body for call in calls])]]


def messages_of_large(call: Packed) -> Iterator[list[bytes | memoryview]]:
    """The messages for a call with a large payload."""
    yield from chunks_of(call.item.attempt, call.body)
    yield [wire.encode(wire.Tasks([call.item])), b""]
