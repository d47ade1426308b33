"""What client, interchange and managers say to each other: typed headers, opaque payloads.

A message is a list of frames. The first is one of the structs below as msgpack. `Tasks` and
`Results` describe many items at once; the payloads of small items stand one behind the other in the
second frame, in the order of the items, each as long as its item says. The payload of a large item
travels before, in `Chunk` messages of their own, so that no message holds up a heartbeat for long; an
item is named in `Tasks` or `Results` when all its chunks have been sent.

Nothing here is unpickled; only clients and workers look inside payloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

VERSION: Final = 1
"""Of this protocol. Peers of another version are refused by name."""

NO_PRIORITY: Final = (1 << 31) - 1
"""Of tasks that ask for none: they run after all that do."""

INLINE_LIMIT: Final = 1 << 16
"""Bytes; a longer payload travels in chunks."""

CHUNK_BYTES: Final = 4 << 20
"""Bytes of one chunk at most."""

MAX_PAYLOAD_BYTES: Final = 4 << 30
"""Bytes of one call's arguments or of one result, unless the configuration says otherwise."""

TASKS_WINDOW: Final = 64 << 20
"""Bytes of large arguments that a client sends before managers have them: more waits at the client."""

RESULTS_WINDOW: Final = 16 << 20
"""Bytes of large results that a manager sends before the interchange has passed them on."""

MAX_MESSAGE_BYTES: Final = 64 << 20
"""Bytes; what is longer is not one of our messages, and the sender is cut off."""


class Message(msgspec.Struct, array_like=True, tag=True, gc=False):
    """Base of all headers."""


# -- items ---------------------------------------------------------------------------------------


class TaskItem(msgspec.Struct, array_like=True, gc=False):
    """One attempt on its way to a worker."""

    attempt: int
    function: int
    """Number of its function; its body has been sent before in a `Function` message."""
    size: int
    """Bytes of its payload, the packed arguments."""
    priority: int = NO_PRIORITY
    """Lower runs first."""
    walltime_ms: int = 0
    """0: no limit."""
    memory_bytes: int = 0
    """0: no limit of its own."""
    slots: int = 1
    """Workers' places that it takes on its node."""
    environment: dict[str, str] | None = None
    """Variables that are set while it runs: its resource specification as `PARSL_<KEY>`."""


class ResultItem(msgspec.Struct, array_like=True, gc=False):
    """One outcome on its way to the client."""

    attempt: int
    size: int
    """Bytes of its payload, the packed outcome; 0 for a lost attempt."""
    run_us: int = 0
    """Microseconds that it ran on the worker."""
    lost: Loss | None = None
    """Why it ended without an outcome; None if it has one."""


class Loss(msgspec.Struct, array_like=True, gc=False):
    """Why an attempt ended without an outcome of its own."""

    cause: str
    """`signal`, `exit`, `memory`, `walltime`, `manager`, `cancelled`, `refused` or `drained`."""
    worker: int = -1
    """Number of the worker, where one died."""
    host: str = ""
    detail: str = ""
    """In words: which signal or status, which limit, the end of standard error."""
    blames_task: bool = True
    """Whether it was running when its worker died unexpectedly; otherwise it is just queued again."""
    manager: str = ""
    """Uid of the manager, where that one is lost."""


# -- both directions -----------------------------------------------------------------------------


class Function(Message):
    """A function's body follows in the next frame. Sent once to each peer, before its first task."""

    number: int
    digest: bytes
    """blake2b, 16 bytes, of the body."""


class Tasks(Message):
    """Attempts; their small payloads follow in one frame."""

    items: list[TaskItem]


class Results(Message):
    """Outcomes; their small payloads follow in one frame."""

    items: list[ResultItem]


class Chunk(Message):
    """A piece of a large payload follows in the next frame. Pieces come in order."""

    attempt: int
    offset: int
    is_result: bool = False


class Got(Message):
    """Manager: the large payloads of these attempts have arrived. The client sends further ones then."""

    attempts: list[int]


class Passed(Message):
    """Interchange: so many bytes of this manager's large results are on their way to the client."""

    size: int


class Cancel(Message):
    """Nobody waits for these any more: they must not start, and end if they run."""

    attempts: list[int]


class Heartbeat(Message):
    """Nothing to say, but alive."""


# -- client and interchange ----------------------------------------------------------------------


class Hello(Message):
    """First message of a client."""

    version: int
    run_id: str
    admitted: dict[str, bytes] = {}
    """Block -> its public key: as if each had been named in an `Admit`. Before this nobody is let in."""


class Ask(Message):
    """The client asks for facts; `Answer` with the same number follows."""

    number: int
    what: str
    """`managers`, `whereabouts`, `counters` or `packages`; the last goes on to the managers."""
    attempt: int = 0
    """Whose whereabouts are asked for."""


class Answer(Message):
    """A list of facts, each a mapping of names to plain values."""

    number: int
    facts: list[dict[str, object]]


class Hold(Message):
    """Send no further tasks to these managers (their uids), or to managers of these blocks."""

    managers: list[str]
    blocks: list[str]
    drains: bool = False
    """They are also to finish what they have, and to end."""


class Admit(Message):
    """Managers of this block may connect, if they have the secret that belongs to this key."""

    block: str
    public_key: bytes


class Revoke(Message):
    """This block has ended: its key is void, and what still claims to belong to it is turned away."""

    block: str


class Expect(Message):
    """To an interchange that takes over: all that is open has been sent, and these managers are known.

    It hands nothing out until they have registered again and named what they hold.
    """

    managers: list[str]
    """Their uids."""
    patience_ms: int
    """Those that have not come by then are lost."""
    landed: list[int] = []
    """Open attempts that were not sent again: a manager had said that it has their large payloads."""


class Bye(Message):
    """The client ends: managers are told, and the interchange exits."""


class ManagerJoined(Message):
    """A manager was accepted."""

    uid: str
    block: str
    host: str
    slots: int


class ManagerLeft(Message):
    """A manager has ended or is lost; its attempts follow as `Results` with a `Loss` each."""

    uid: str
    block: str
    host: str
    reason: str
    is_failure: bool = False
    """As in `Leave`."""


class ManagerRefused(Message):
    """A manager was turned away; nothing was sent to it."""

    uid: str
    block: str
    host: str
    reason: str


class Printed(Message):
    """Lines that a task wrote to a standard stream."""

    attempt: int
    host: str
    text: str
    is_error: bool = False
    worker: int = -1


# -- interchange and manager ---------------------------------------------------------------------


class Register(Message):
    """First message of a manager, and again after the interchange has been replaced."""

    version: int
    uid: str
    """Twelve hexadecimal digits."""
    block: str
    host: str
    pid: int
    python: str
    """Major and minor version, such as `3.11`."""
    fanflow: str
    cloudpickle: str
    slots: int
    """Attempts that its workers can run at one time."""
    prefetch: int = 0
    """Attempts that it takes beyond that, fixed by the user; 0: adaptive."""
    holds: Sequence[int] = ()
    """Attempts that it has, running or not: not empty when it registers again."""
    trouble: str = ""
    """Why it cannot work. It registers all the same, to be refused: so the client hears of it."""
    node: NodeDescription | None = None
    is_draining: bool = False
    """It takes nothing more."""


class NodeDescription(msgspec.Struct, array_like=True, gc=False):
    """What a manager says of its node. Facts for users; nothing is decided by them."""

    python: str = ""
    """Full version."""
    os: str = ""
    cpu_count: int = 0
    total_memory: int = 0
    """Bytes."""
    directory: str = ""
    """Where it works."""
    started: float = 0.0
    """Seconds since the epoch, by the node's clock."""
    drains: float = 0.0
    """When it will take no more attempts, likewise; 0: never."""
    plan: str = ""
    """Such as `2 workers, 0 cores idle`."""


class Leave(Message):
    """The manager ends now, on its own accord; its attempts have been reported."""

    reason: str
    is_failure: bool = False
    """It could not work: another one like it would fare no better."""


class Accepted(Message):
    """The manager may expect tasks."""

    heartbeat_ms: int
    """It is to send something at least this often."""
    threshold_ms: int
    """Silence after which a peer counts as lost."""


class Refused(Message):
    """The manager is not wanted, and should end."""

    reason: str


class Want(Message):
    """How many attempts the manager would hold in all, running ones included."""

    total: int


class Return(Message):
    """The manager gives back attempts that have not started."""

    attempts: list[int]


class Drain(Message):
    """Finish what you have; nothing more comes. Manager to interchange: nothing more, please."""


FromClient = Hello | Function | Tasks | Chunk | Cancel | Ask | Hold | Admit | Revoke | Expect | Bye
ToClient = Results | Chunk | Answer | ManagerJoined | ManagerLeft | ManagerRefused | Printed | Got | Heartbeat
FromManager = Register | Results | Chunk | Want | Return | Drain | Heartbeat | Printed | Answer | Leave | Got
ToManager = Accepted | Refused | Function | Tasks | Chunk | Passed | Cancel | Drain | Heartbeat | Ask

_encoder = msgspec.msgpack.Encoder()
decode_from_client = msgspec.msgpack.Decoder(FromClient).decode
decode_to_client = msgspec.msgpack.Decoder(ToClient).decode
decode_from_manager = msgspec.msgpack.Decoder(FromManager).decode
decode_to_manager = msgspec.msgpack.Decoder(ToManager).decode
encode = _encoder.encode


def split(
    items: Sequence[TaskItem] | Sequence[ResultItem], blob: bytes | memoryview
) -> list[bytes | memoryview]:
    """The payloads of small items; an empty one stands in the place of each large item.

    Raises:
        ValueError: The frame is not exactly as long as the items say.
    """
    parts: list[bytes | memoryview] = []
    start = 0
    is_sound = True
    for item in items:
        size = item.size
        end = start + size if size <= INLINE_LIMIT else start
        if size < 0:
            is_sound = False
        parts.append(blob[start:end])
        start = end
    if start != len(blob) or not is_sound:
        raise ValueError(f"payloads of {len(blob)} bytes do not fit {len(items)} items of {start} bytes")
    return parts
