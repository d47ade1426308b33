from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fanflow.errors import ConfigurationError
from fanflow.logs import (
    DEFAULT_FORMAT,
    Detach,
    FileLogging,
    JSONLogging,
    LogConfig,
    NoopLogging,
    RunLog,
    place_under,
    set_file_logger,
    set_stream_logger,
    start_run_log,
)

LOGGERS = ("fanflow", "fanflow.part", "legacy", "concurrent.futures", "")

log = logging.getLogger("fanflow.part")


@dataclass
class Settings:
    initialize_logging: bool | LogConfig = True
    logger_name: str = "fanflow"
    run_logs: tuple[RunLog, ...] = (RunLog(file="fanflow.log", level=logging.INFO, format="%(message)s"),)
    warnings: list[str] = field(default_factory=list)


def state() -> list[tuple[object, ...]]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    return [(one.name, one.level, one.propagate, list(one.handlers)) for one in loggers]


@pytest.fixture(autouse=True)
def nothing_stays_attached() -> Iterator[None]:
    logging.getLogger("legacy").handlers[:] = [logging.NullHandler()]
    before = state()

    yield

    assert state() == before


@pytest.fixture
def program_output() -> Iterator[io.StringIO]:
    """What a program that called `logging.basicConfig()` sees."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_nothing_is_printed_for_a_program_that_did_not_ask(capfd: pytest.CaptureFixture[str]) -> None:
    log.error("lost")

    assert capfd.readouterr().err == ""


SILENT = """
import logging, sys
from fanflow.logs import set_file_logger

log = logging.getLogger("fanflow.part")
log.error("before")
detach = set_file_logger(sys.argv[1], format_string="%(message)s")
log.error("kept")
detach()
log.error("after")
"""


def test_an_error_in_the_file_is_not_printed_as_well(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-c", SILENT, str(tmp_path / "x.log")]

    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=True)

    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "x.log").read_text() == "kept\n"


def test_a_stream_gets_debug_records_in_the_documented_format() -> None:
    stream = io.StringIO()
    detach = set_stream_logger(stream=stream)

    log.debug("looked at %s", 3)
    detach()
    log.debug("unseen")

    line = stream.getvalue()
    assert line.count("\n") == 1
    assert line[:19].replace("-", "").replace(":", "").replace(" ", "").isdigit()
    assert " fanflow.part:" in line
    assert line.endswith("[DEBUG]  looked at 3\n")


def test_a_stream_gets_nothing_below_its_level() -> None:
    stream = io.StringIO()
    detach = set_stream_logger("fanflow", logging.WARNING, "%(message)s", stream)

    log.info("small")
    log.warning("big")
    detach()

    assert stream.getvalue() == "big\n"


def test_errors_of_callbacks_of_futures_are_shown_too() -> None:
    stream = io.StringIO()
    detach = set_stream_logger(stream=stream, format_string="%(message)s")

    logging.getLogger("concurrent.futures").error("exception calling callback")
    detach()

    assert stream.getvalue() == "exception calling callback\n"


def test_a_file_is_private_and_has_the_documented_format(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.log"
    detach = set_file_logger(path)

    log.debug("written")
    detach()

    assert path.stat().st_mode & 0o777 == 0o600
    assert DEFAULT_FORMAT.endswith("%(funcName)s %(levelname)s: %(message)s")
    assert "test_a_file_is_private_and_has_the_documented_format DEBUG: written\n" in path.read_text()


def test_a_file_logger_appends(tmp_path: Path) -> None:
    for text in ("one", "two"):
        detach = set_file_logger(tmp_path / "x.log", format_string="%(message)s")
        log.debug(text)
        detach()

    assert (tmp_path / "x.log").read_text() == "one\ntwo\n"


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"log file '.*' cannot be opened \(Is a directory\); name a file"
    ):
        set_file_logger(tmp_path)


def test_an_unknown_level_leaves_no_open_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="LOUD"):
        set_file_logger(tmp_path / "x.log", level="LOUD")


def test_a_full_disk_is_reported_once(capfd: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    detach = set_file_logger("/dev/full")

    log.error("one")
    log.error("two")
    detach()

    assert capfd.readouterr().err.count("cannot write to log file /dev/full: No space left") == 1


def test_detaching_twice_is_harmless() -> None:
    first, second = set_stream_logger(stream=io.StringIO()), set_stream_logger(stream=io.StringIO())

    first()
    first()

    assert log.isEnabledFor(logging.DEBUG)
    second()


def test_the_level_is_that_of_the_most_detailed_output_left() -> None:
    quiet = set_stream_logger(level=logging.ERROR, stream=io.StringIO())
    detailed = set_stream_logger(level=logging.DEBUG, stream=io.StringIO())

    assert log.isEnabledFor(logging.DEBUG)
    detailed()
    assert not log.isEnabledFor(logging.INFO)
    quiet()


def test_a_program_with_its_own_logging_sees_no_more_than_before(program_output: io.StringIO) -> None:
    detach = set_stream_logger(stream=io.StringIO())

    log.info("detail")
    log.warning("trouble")
    detach()

    assert program_output.getvalue() == "trouble\n"


def test_a_program_that_asked_for_details_still_sees_them(program_output: io.StringIO) -> None:
    log.setLevel(logging.DEBUG)
    detach = set_stream_logger(level=logging.ERROR, stream=io.StringIO())

    log.debug("detail")
    detach()
    log.setLevel(logging.NOTSET)

    assert program_output.getvalue() == "detail\n"


def test_a_level_that_the_program_sets_later_is_kept(program_output: io.StringIO) -> None:
    ours = logging.getLogger("fanflow")
    detach = set_stream_logger(stream=io.StringIO())
    ours.setLevel(logging.ERROR)

    log.warning("hidden")
    log.error("seen")
    detach()

    assert ours.level == logging.ERROR
    assert program_output.getvalue() == "seen\n"
    ours.setLevel(logging.NOTSET)


def test_set_ups_of_the_outer_logger_hold_for_ours() -> None:
    stream = io.StringIO()
    place_under("legacy")
    detach = set_stream_logger("legacy", format_string="%(name)s", stream=stream)

    log.debug("x")
    logging.getLogger("legacy.part").debug("x")
    detach()
    place_under("fanflow")

    assert stream.getvalue().split() == ["fanflow.part", "legacy.part"]
    assert logging.getLogger("fanflow").parent is logging.getLogger()


def test_the_run_log_has_information_but_no_details(tmp_path: Path) -> None:
    detach = start_run_log(Settings(), tmp_path)

    log.info("started")
    log.debug("task 1")
    assert not log.isEnabledFor(logging.DEBUG)
    detach()
    log.info("after")

    assert (tmp_path / "fanflow.log").read_text() == "started\n"
    assert (tmp_path / "fanflow.log").stat().st_mode & 0o777 == 0o600


def test_two_runs_at_once_both_log_and_the_first_can_end(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    end_a, end_b = start_run_log(Settings(), tmp_path / "a"), start_run_log(Settings(), tmp_path / "b")

    log.info("both")
    end_a()
    log.info("second")
    end_b()

    assert (tmp_path / "a" / "fanflow.log").read_text() == "both\n"
    assert (tmp_path / "b" / "fanflow.log").read_text() == "both\nsecond\n"


def test_no_log_is_written_when_none_is_wanted(tmp_path: Path) -> None:
    start_run_log(Settings(initialize_logging=False), tmp_path)()

    assert list(tmp_path.iterdir()) == []


def test_warnings_of_the_configuration_are_in_the_run_log(tmp_path: Path) -> None:
    start_run_log(Settings(warnings=["100% is too much"]), tmp_path)()

    assert (tmp_path / "fanflow.log").read_text() == "100% is too much\n"


def test_when_one_of_two_logs_cannot_be_opened_none_stays_open(tmp_path: Path) -> None:
    (tmp_path / "legacy.log").mkdir()
    good = RunLog(file="fanflow.log", level=logging.INFO, format="%(message)s")
    bad = RunLog(file="legacy.log", level=logging.INFO, format="%(message)s")

    with pytest.raises(ConfigurationError, match=r"legacy\.log"):
        start_run_log(Settings(run_logs=(good, bad)), tmp_path)


def test_file_logging_writes_a_log_of_the_given_name(tmp_path: Path) -> None:
    plugin = FileLogging(format_string="%(levelname)s %(message)s", level=logging.INFO)
    detach = plugin.initialize_logging(log_dir=str(tmp_path), log_name="interchange")

    log.info("up")
    log.debug("more")
    detach()

    assert (tmp_path / "interchange.log").read_text() == "INFO up\n"


def test_json_logging_writes_one_object_per_line_with_extras(tmp_path: Path) -> None:
    detach = start_run_log(Settings(initialize_logging=JSONLogging()), tmp_path)

    log.info("task %d\nended", 3, extra={"parsl.task": 3, "fanflow.path": Path("x"), "other": 1})
    detach()

    lines = (tmp_path / "fanflow.jsonlog").read_text().splitlines()
    assert len(lines) == 1
    found = json.loads(lines[0])
    assert (found["msg"], found["formatted"]) == ("task %d\nended", "task 3\nended")
    assert (found["parsl.task"], found["fanflow.path"]) == (3, "x")
    keys = {
        "created",
        "process",
        "processName",
        "threadName",
        "thread",
        "name",
        "lineno",
        "funcname",
        "levelname",
    }
    assert keys | {"msg", "formatted", "parsl.task", "fanflow.path"} == set(found)


def test_json_logging_keeps_the_traceback_of_an_error(tmp_path: Path) -> None:
    detach = JSONLogging(level=logging.ERROR).initialize_logging(log_dir=str(tmp_path), log_name="x")

    try:
        raise KeyError("gone")
    except KeyError:
        log.exception("failed")
    detach()

    assert "KeyError: 'gone'" in json.loads((tmp_path / "x.jsonlog").read_text())["traceback"]


def test_noop_logging_writes_nothing(tmp_path: Path) -> None:
    start_run_log(Settings(initialize_logging=NoopLogging()), tmp_path)()

    assert list(tmp_path.iterdir()) == []


class Broken(LogConfig):
    def __repr__(self) -> str:
        return "Broken()"

    def initialize_logging(self, *, log_dir: str, log_name: str) -> Detach:
        raise RuntimeError(f"no server for {log_name}")


def test_a_plug_in_that_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"Broken\(\).*raised RuntimeError: no server for fanflow"
    ) as caught:
        start_run_log(Settings(initialize_logging=Broken()), tmp_path)

    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_plug_in_that_returns_no_callable_is_named(tmp_path: Path) -> None:
    class Forgetful(NoopLogging):
        initialize_logging = staticmethod(lambda **_: None)  # type: ignore[assignment]

    with pytest.raises(
        ConfigurationError, match=r"initialize_logging\(\) returned None; it has to return a callable"
    ):
        start_run_log(Settings(initialize_logging=Forgetful()), tmp_path)
