"""Turns any value into its canonical encoding, part by part, without recursion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import FunctionType

from fanflow.memo.containers import BUILDERS, Builder
from fanflow.memo.encoding import MOST_INLINE, Node, Order, digest
from fanflow.memo.errors import ROOT, MemoKeyError, unknown_type
from fanflow.memo.leaves import LEAVES

Find = Callable[[type], Builder | None]


class Rules:
    """Which encoding applies to which type.

    Args:
        find: The builder for a type that is in no table, or None; may be asked more than once.
        overridden: Exact types of the tables for which `find` is to be asked all the same.
    """

    def __init__(self, find: Find, overridden: Iterable[type] = ()) -> None:
        self.find = find
        self.leaves: Mapping[type, Callable[[object], bytes]] = LEAVES
        self.builders: Mapping[type, Builder] = BUILDERS
        taken = set(overridden)
        if taken:
            self.leaves = {kind: leaf for kind, leaf in LEAVES.items() if kind not in taken}
            self.builders = {kind: builder for kind, builder in BUILDERS.items() if kind not in taken}


class _Frame:
    """A value whose parts are being encoded."""

    __slots__ = ("done", "is_open", "node", "rest", "value")

    def __init__(self, value: object, node: Node) -> None:
        self.value = value
        self.node = node
        self.rest = iter(node.parts)
        self.done: list[bytes] = []
        self.is_open = False  # holds a reference to a value further up, so it means nothing elsewhere


class Encoder:
    """One pass over one value.

    Args:
        rules: Which encoding applies to which type.
        output_ref: Files are named as outputs: only where they are counts.
    """

    def __init__(self, rules: Rules, output_ref: bool = False) -> None:
        self._leaves = rules.leaves
        self._tables = rules.builders
        self._find = rules.find
        self._output_ref = output_ref
        self._found: dict[type, Builder] = {}
        self._stack: list[_Frame] = []
        self._places: dict[int, int] = {}
        # Values whose encoding is long, with the values to keep their ids theirs. Without it a value of
        # n levels, each twice in the next, would take 2**n steps.
        self._known: dict[int, tuple[object, bytes]] = {}

    def encode(self, value: object, path: str = ROOT) -> bytes:
        """The encoding.

        Args:
            value: Anything.
            path: What to call it in messages.

        Raises:
            MemoKeyError: A part has a type that nobody registered, contains itself, or cannot be read.
        """
        try:
            return self._run(value)
        except MemoKeyError as error:
            raise error.under(path + self._path()) from error.__cause__
        except Exception as error:
            raise MemoKeyError(
                f"making a memo key raised {type(error).__name__}: {error}",
                path + self._path(),
                "pass a value that can be read, register its type with @id_for_memo.register, "
                "or name the argument in ignore_for_cache",
            ) from error

    def _run(self, value: object) -> bytes:
        encoded = self._open(value)
        stack, leaves = self._stack, self._leaves
        while stack:
            frame = stack[-1]
            done = frame.done
            if encoded is not None:
                done.append(encoded)
                encoded = None
            for part in frame.rest:
                leaf = leaves.get(type(part))
                encoded = leaf(part) if leaf is not None else self._open(part)
                if encoded is None:
                    break
                done.append(encoded)
                encoded = None
            else:
                encoded = self._close(frame)
        assert encoded is not None
        return encoded

    def _open(self, value: object) -> bytes | None:
        """The encoding of a value, or None when its parts have to come first."""
        kind = type(value)
        leaf = self._leaves.get(kind)
        if leaf is not None:
            return leaf(value)
        key = id(value)
        if key in self._places:
            return self._reference(value, self._places[key])
        known = self._known.get(key)
        if known is not None:
            return known[1]
        builder = self._tables.get(kind) or self._found.get(kind)
        if builder is None:
            builder = self._find(kind)
            if builder is None:
                raise unknown_type(kind, ROOT)
            self._found[kind] = builder
        built = builder(value, self._output_ref)
        if isinstance(built, bytes):
            return built
        self._places[key] = len(self._stack)
        self._stack.append(_Frame(value, built))
        return None

    def _reference(self, value: object, place: int) -> bytes:
        """A value inside itself, by how many levels up it is, if a function's closure leads back to it.

        Local functions that call themselves or each other do so. Plain data has no such excuse.
        """
        if not any(isinstance(frame.value, FunctionType) for frame in self._stack[place:]):
            raise MemoKeyError(
                f"a {type(value).__name__} contains itself",
                ROOT,
                "pass a value without cycles, register its type with @id_for_memo.register, "
                "or name the argument in ignore_for_cache",
            )
        for frame in self._stack[place + 1 :]:
            frame.is_open = True
        return b"^%d;" % (len(self._stack) - place)

    def _close(self, frame: _Frame) -> bytes:
        self._stack.pop()
        del self._places[id(frame.value)]
        done, order = frame.done, frame.node.order
        head = b"%b%d:" % (frame.node.header, len(done))
        if order is Order.NONE:
            done.sort()
        elif order is Order.PAIRS:
            done = [part for pair in sorted(zip(done[::2], done[1::2], strict=True)) for part in pair]
        body = b"".join(done)
        if len(body) <= MOST_INLINE:
            return head + body
        encoded = b"#" + head + digest(body)
        if not frame.is_open:
            self._known[id(frame.value)] = (frame.value, encoded)
        return encoded

    def _path(self) -> str:
        return "".join(frame.node.label(len(frame.done)) for frame in self._stack)
