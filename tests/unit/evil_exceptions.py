"""A table of exceptions that are hard to send, with what has to come back."""

import contextlib
import errno
import json
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, NoReturn


class Case(NamedTuple):
    """One odd exception."""

    name: str
    make: Callable[[], BaseException]
    comes_back_as: str
    """Name of the type."""
    shows: str
    """Part of the printed error."""


class TwoParametersError(Exception):
    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.what, self.code = what, code


class KeywordError(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


class NoSuperError(Exception):
    def __init__(self, what: str) -> None:
        self.what = what


class GreedyConstructorError(Exception):
    """Its constructor works once."""

    made = False

    def __init__(self, what: str) -> None:
        if GreedyConstructorError.made:
            raise RuntimeError("only one of me")
        super().__init__(what)
        GreedyConstructorError.made = True


class IrreducibleError(Exception):
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("no")


class IrreducibleExError(Exception):
    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SystemExit(9)


class ImpostorError(Exception):
    """Pickles as something else, and cannot be made without its constructor either."""

    def __new__(cls, *args: object) -> "ImpostorError":
        return super().__new__(cls, *args)

    def __reduce__(self) -> tuple[object, ...]:
        return (str, ("not an exception",))

    def __getattribute__(self, name: str) -> object:
        if name == "args":
            raise RuntimeError("no args")
        return super().__getattribute__(name)

    def __str__(self) -> str:
        return "impostor"


class NoStateError(Exception):
    def __getstate__(self) -> NoReturn:
        raise RuntimeError("no state")


class RefusesStateError(Exception):
    def __setstate__(self, state: object) -> NoReturn:
        raise RuntimeError("no state")


class SpeechlessError(Exception):
    def __str__(self) -> NoReturn:
        raise ValueError("no text")

    __repr__ = __str__


class ExitingTextError(Exception):
    def __str__(self) -> NoReturn:
        raise SystemExit(4)


class NumberTextError(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307 - that is what is wrong with it


class EndlessTextError(Exception):
    def __str__(self) -> str:
        return "e" * 1_000_000


class DeepError(BaseException):
    """Not an `Exception`."""


class ReadOnlyError(Exception):
    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("read only")


@dataclass(frozen=True)
class FrozenError(Exception):
    code: int


class PropertyError(Exception):
    @property
    def code(self) -> int:
        return 3


class OddNameMeta(type):
    def __getattribute__(cls, name: str) -> object:
        if name == "__qualname__":
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class OddNameError(Exception, metaclass=OddNameMeta):
    pass


class OwnNotesError(Exception):
    __notes__ = 3  # type: ignore[assignment]  # that is what is wrong with it


def with_attribute(value: object) -> BaseException:
    error = ValueError("with attribute")
    error.handle = value  # type: ignore[attr-defined]  # as users do
    return error


def circular() -> BaseException:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def own_cause() -> BaseException:
    error = ValueError("own cause")
    error.__cause__ = error
    return error


def long_chain() -> BaseException:
    error = ValueError("link")
    for _ in range(50_000):
        above = ValueError("link")
        above.__context__ = error
        error = above
    return error


def local_class() -> BaseException:
    class LocalError(Exception):
        pass

    return LocalError("local")


def class_that_cannot_be_sent() -> BaseException:
    class RootedError(Exception):
        lock = threading.Lock()

    return RootedError("rooted")


def nested_deeply() -> BaseException:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    return with_attribute(deep)


def many_notes() -> BaseException:
    error = ValueError("many notes")
    for _ in range(10_000):
        error.add_note("n" * 1000)
    return error


def contains_itself() -> BaseException:
    return with_attribute_set(ValueError("contains itself"))


def with_attribute_set(error: ValueError) -> ValueError:
    error.me = error  # type: ignore[attr-defined]  # as users do
    return error


@contextlib.contextmanager
def make_missing_module_error() -> Iterator[Exception]:
    """An exception whose module is gone once the block has ended."""
    module = types.ModuleType("fleeting_module")
    sys.modules[module.__name__] = module
    cls = type("FleetingError", (Exception,), {"__module__": module.__name__})
    module.FleetingError = cls  # type: ignore[attr-defined]  # a module made by hand
    try:
        yield cls("here today")
    finally:
        del sys.modules[module.__name__]


def unreadable_json() -> BaseException:
    try:
        json.loads("{")
    except ValueError as error:
        return error
    raise AssertionError


CASES = [
    Case("two parameters", lambda: TwoParametersError("disk", 1), "TwoParametersError", "disk"),
    Case("keyword parameter", lambda: KeywordError(code=5), "KeywordError", "code 5"),
    Case("no call of super", lambda: NoSuperError("text"), "NoSuperError", "text"),
    Case("constructor works once", lambda: GreedyConstructorError("one"), "GreedyConstructorError", "one"),
    Case("reduce raises", lambda: IrreducibleError("whole"), "IrreducibleError", "whole"),
    Case("reduce exits", lambda: IrreducibleExError("whole"), "IrreducibleExError", "whole"),
    Case("reduce returns another type", ImpostorError, "ImpostorError", "impostor"),
    Case("class cannot be sent", class_that_cannot_be_sent, "RemoteError", "RootedError: rooted"),
    Case("getstate raises", lambda: NoStateError("s"), "NoStateError", "s"),
    Case("setstate raises", lambda: with_attribute(RefusesStateError("s")), "ValueError", "with attribute"),
    Case("str raises", SpeechlessError, "SpeechlessError", "SpeechlessError"),
    Case("str exits", ExitingTextError, "ExitingTextError", "no text: __str__ raised SystemExit"),
    Case("str returns a number", NumberTextError, "NumberTextError", "NumberTextError"),
    Case("str is endless", EndlessTextError, "EndlessTextError", "eee"),
    Case("huge message", lambda: ValueError("h" * 10_000_000), "ValueError", "characters left out"),
    Case("huge subclass message", lambda: DeepError("h" * 10_000_000), "DeepError", "characters left out"),
    Case("lone surrogate", lambda: ValueError("\ud800"), "ValueError", "ValueError"),
    Case("not an Exception", lambda: DeepError("deep"), "DeepError", "deep"),
    Case("SystemExit", lambda: SystemExit("bye"), "TaskExitedError", "SystemExit('bye')"),
    Case("KeyboardInterrupt", KeyboardInterrupt, "TaskExitedError", "KeyboardInterrupt"),
    Case("lock as attribute", lambda: with_attribute(threading.Lock()), "ValueError", "sent back: handle"),
    Case(
        "lock as argument", lambda: ValueError("a", threading.Lock()), "ValueError", "<unlocked _thread.lock"
    ),
    Case("lambda as attribute", lambda: with_attribute(lambda: 1), "ValueError", "with attribute"),
    Case("generator as argument", lambda: KeyError(x for x in ()), "KeyError", "generator object"),
    Case("nested too deeply", nested_deeply, "ValueError", "sent back: handle"),
    Case("contains itself", contains_itself, "ValueError", "contains itself"),
    Case("circular causes", circular, "ValueError", "direct cause"),
    Case("its own cause", own_cause, "ValueError", "own cause"),
    Case("50,000 contexts", long_chain, "ValueError", "During handling"),
    Case("local class", local_class, "LocalError", "local"),
    Case("read-only attributes", lambda: ReadOnlyError("r"), "ReadOnlyError", "r"),
    Case("frozen dataclass", lambda: FrozenError(4), "FrozenError", "FrozenError"),
    Case("property", lambda: PropertyError("p"), "PropertyError", "p"),
    Case("class without a name", lambda: OddNameError("odd"), "RemoteError", "OddNameError: odd"),
    Case("notes that are none", lambda: OwnNotesError("n"), "OwnNotesError", "n"),
    Case("many notes", many_notes, "ValueError", "nnn"),
    Case("group", lambda: ExceptionGroup("g", [TwoParametersError("x", 1)]), "ExceptionGroup", "g (1 sub"),
    Case(
        "group of what cannot be sent",
        lambda: BaseExceptionGroup("g", [SystemExit(1)]),
        "BaseExceptionGroup",
        "g",
    ),
    Case("OSError", lambda: OSError(errno.ENOENT, "gone", "f.txt"), "FileNotFoundError", "'f.txt'"),
    Case(
        "UnicodeDecodeError",
        lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        "UnicodeDecodeError",
        "0xff",
    ),
    Case("SyntaxError", lambda: SyntaxError("s", ("f.py", 1, 2, "x=", 1, 3)), "SyntaxError", "f.py"),
    Case("ImportError", lambda: ImportError("i", name="mod", path="/p"), "ImportError", "i"),
    Case("StopIteration", lambda: StopIteration(3), "StopIteration", "3"),
    Case(
        "CalledProcessError", lambda: subprocess.CalledProcessError(2, "ls"), "CalledProcessError", "status 2"
    ),
    Case("JSONDecodeError", unreadable_json, "JSONDecodeError", "Expecting property name"),
    Case("MemoryError", MemoryError, "MemoryError", "MemoryError"),
    Case("RecursionError", lambda: RecursionError("too deep"), "RecursionError", "too deep"),
]
