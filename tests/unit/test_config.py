from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from fanflow.config.checks import OPTION_NAMES
from fanflow.config.defaults import NATIVE, PARSL, current_defaults, select_defaults
from fanflow.config.options import Config, freeze
from fanflow.errors import ConfigurationError, OptionTypeError
from fanflow.logs import FileLogging, NoopLogging
from fanflow.spi.executor import BuildContext, Executor
from fanflow.spi.resolver import DependencyResolver


class Spec:
    """An executor that is never built."""

    def __init__(self, label: str) -> None:
        self.label = label

    def build(self, context: BuildContext) -> Executor:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"Spec({self.label!r})"


def set_option(config: Config, name: str, value: object) -> None:
    setattr(config, name, value)


def make(**options: object) -> Config:
    factory: Callable[..., Config] = Config
    return factory(**options)


def test_positional_arguments_have_the_order_that_existing_programs_rely_on() -> None:
    parameters = inspect.signature(Config).parameters.values()

    positional = [
        parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]

    assert positional == [
        "executors", "memoizer", "dependency_resolver", "exit_mode", "garbage_collect",
        "internal_tasks_max_threads", "retries", "retry_handler", "run_dir", "std_autopath", "strategy",
        "strategy_period", "max_idletime", "monitoring", "usage_tracking", "project_name",
        "initialize_logging",
    ]  # fmt: skip
    assert [parameter.name for parameter in parameters] == list(OPTION_NAMES)


def test_every_option_is_an_attribute_with_its_documented_default() -> None:
    config = Config()

    values = {name: getattr(config, name) for name in OPTION_NAMES}

    assert values == {
        "executors": (), "memoizer": None, "dependency_resolver": None, "exit_mode": "cleanup",
        "garbage_collect": True, "internal_tasks_max_threads": 10, "retries": 0, "retry_handler": None,
        "run_dir": "runinfo", "std_autopath": None, "strategy": "simple", "strategy_period": 5,
        "max_idletime": 120.0, "monitoring": None, "usage_tracking": 0, "project_name": None,
        "initialize_logging": True, "max_pending": None,
    }  # fmt: skip


def test_executors_become_a_tuple_whatever_iterable_is_given() -> None:
    a, b = Spec("a"), Spec("b")

    assert Config(executors=(spec for spec in [a, b])).executors == (a, b)


def test_no_executors_and_an_empty_list_are_told_apart() -> None:
    assert Config().uses_default_executors
    assert not Config([]).uses_default_executors


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("executors", Spec("a"), r"put the one executor into a list"),
        ("executors", "threads", r"a list of executors, not str"),
        ("executors", 3, r"a list of executors, not int"),
        ("executors", [Spec], r"an executor object, not the class; write Spec\(\.\.\.\)"),
        ("executors", [ThreadPoolExecutor(1)], r"ExecutorAdapter makes one from any"),
        ("executors", ["threads"], r"an executor \(an object with `label` and `build\(context\)`\), not str"),
        ("retries", "3", r"retries takes an int of at least 0, not str"),
        ("retries", True, r"retries takes an int of at least 0, not bool"),
        ("retries", 1.0, r"not float"),
        ("garbage_collect", 1, r"True or False"),
        ("retry_handler", 3, r"a function, or None"),
        ("std_autopath", "runinfo", r"a function, or None"),
        ("run_dir", 3, r"a path \(str or os\.PathLike\[str\]\)"),
        ("run_dir", b"runinfo", r"a path"),
        ("exit_mode", None, r"one of 'cleanup', 'skip', 'wait'"),
        ("strategy", 3, r"one of 'simple', 'htex_auto_scale', 'none'"),
        ("strategy_period", "5", r"a number of seconds above 0"),
        ("max_idletime", False, r"a number of seconds above 0"),
        ("usage_tracking", "all", r"an int from 0 to 3"),
        ("project_name", 3, r"a str, or None"),
        ("initialize_logging", "DEBUG", r"True, False or a LogConfig"),
        ("initialize_logging", None, r"True, False or a LogConfig"),
        ("dependency_resolver", len, r"a DependencyResolver, or None"),
        ("internal_tasks_max_threads", None, r"an int of at least 1"),
        ("max_pending", "many", r"an int of at least 1, or None"),
    ],
)
def test_a_wrong_type_is_an_option_type_error(option: str, value: object, expected: str) -> None:
    with pytest.raises(OptionTypeError, match=expected) as caught:
        make(**{option: value})

    assert str(caught.value).startswith("Config(")
    assert option in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("retries", -1, r"must be an int of at least 0"),
        ("max_pending", 0, r"must be an int of at least 1, or None"),
        ("internal_tasks_max_threads", 0, r"at least 1"),
        ("exit_mode", "clean", r"there is no 'clean'; did you mean 'cleanup'\? use one of"),
        ("strategy", "simpel", r"did you mean 'simple'\?"),
        ("strategy_period", 0, r"above 0"),
        ("strategy_period", float("nan"), r"must be a number of seconds above 0"),
        ("max_idletime", float("inf"), r"strategy='none' turns scaling off"),
        ("usage_tracking", 4, r"levels are 0, 1, 2 and 3"),
        ("run_dir", "", r"name a directory, such as 'runinfo'"),
        ("run_dir", "a\0b", r"is no usable path"),
        ("monitoring", object(), r"not available in this version of fanflow; remove the option"),
        ("memoizer", object(), r"not available in this version of fanflow; remove the option"),
    ],
)
def test_a_wrong_value_is_named_with_its_fix(option: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected) as caught:
        make(**{option: value})

    assert not isinstance(caught.value, TypeError)
    assert f"Config({option}=" in str(caught.value)


@pytest.mark.parametrize("label", ["", "_parsl_internal", "a/b", "a\nb", "a\0", "..", "\x7f"])
def test_a_label_that_cannot_name_a_directory_is_refused(label: str) -> None:
    with pytest.raises(ConfigurationError, match=r"executors\[1\]\.label"):
        Config([Spec("good"), Spec(label)])


@pytest.mark.parametrize("label", ["threads", "höchst-leistung", "a b", "htex.1"])
def test_ordinary_labels_are_accepted(label: str) -> None:
    assert Config([Spec(label)]).executors[0].label == label


def test_a_label_used_twice_has_the_known_message() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config([Spec("x"), Spec("y"), Spec("x"), Spec("x")])

    assert str(caught.value) == "Executors must have unique labels (label='x')"


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(executors=[Spec(""), 3], retries="2", exit_mode="stop", monitoring=object())

    lines = str(caught.value).splitlines()
    assert lines[0] == "Config has 5 problems:"
    assert [line.strip().partition(": ")[0] for line in lines[1:]] == [
        "executors[1]", "executors[0].label", "exit_mode", "retries", "monitoring",
    ]  # fmt: skip
    assert "  retries: takes an int of at least 0, not str ('2')" in lines


def test_an_attribute_that_is_no_option_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(AttributeError, match=r"Config has no option 'retrys'; did you mean 'retries'\?"):
        set_option(Config(), "retrys", 3)


def test_executors_can_be_set_and_are_checked() -> None:
    config = Config()
    config.executors = [Spec("a")]

    assert [spec.label for spec in config.executors] == ["a"]
    with pytest.raises(OptionTypeError, match="into a list"):
        set_option(config, "executors", Spec("a"))


def test_a_strategy_of_none_is_deprecated_but_works() -> None:
    with pytest.warns(DeprecationWarning, match=r"write strategy='none'") as caught:
        config = Config(strategy=None)

    assert caught[0].filename == __file__
    assert freeze(config, NATIVE).strategy == "none"


def test_the_representation_shows_only_what_differs_and_builds_an_equal_config() -> None:
    config = Config([Spec("a"), Spec("b")], retries=2, run_dir="x", initialize_logging=FileLogging(level=20))

    text = repr(config)

    assert text.splitlines()[:6] == [
        "Config(",
        "    executors=[",
        "        Spec('a'),",
        "        Spec('b'),",
        "    ],",
        "    retries=2,",
    ]
    assert repr(eval(text, {"Config": Config, "Spec": Spec, "FileLogging": FileLogging})) == text  # noqa: S307
    assert (repr(Config()), repr(Config([]))) == ("Config()", "Config(\n    executors=[],\n)")


def test_usage_tracking_is_accepted_but_the_operator_is_told_that_nothing_is_sent() -> None:
    assert freeze(Config(usage_tracking=False), NATIVE).warnings == ()
    (warning,) = freeze(Config(usage_tracking=2), NATIVE).warnings

    assert "nothing" in warning
    with pytest.raises(ConfigurationError, match="levels are"):
        Config().validate_usage_tracking(-1)


def test_a_snapshot_holds_decided_values(tmp_path: Path) -> None:
    resolver = DependencyResolver(lambda _: [], lambda value: value)
    config = Config([Spec("a")], dependency_resolver=resolver, strategy_period=0.5, max_idletime=7)

    settings = freeze(config, PARSL)

    assert settings.executors == config.executors
    assert settings.dependency_resolver is resolver
    assert settings.strategy_period == timedelta(milliseconds=500)
    assert settings.max_idletime == timedelta(seconds=7)
    assert settings.run_dir == tmp_path / "runinfo"
    assert (settings.rerun_lost, settings.lift_attributes) == (False, True)


def test_a_home_directory_is_expanded_in_run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert freeze(Config(run_dir="~/runs"), NATIVE).run_dir == tmp_path / "home" / "runs"


def test_a_config_changed_after_its_snapshot_leaves_the_snapshot_alone() -> None:
    config = Config(retries=1)
    before = freeze(config, NATIVE)
    config.retries = 5
    config.initialize_logging = NoopLogging()

    after = freeze(config, NATIVE)

    assert (before.retries, after.retries) == (1, 5)
    assert before.initialize_logging is True


def test_what_was_set_wrongly_is_found_when_the_snapshot_is_taken() -> None:
    spec = Spec("a")
    config = Config([spec, Spec("b")])
    config.retries = -1
    spec.label = "b"

    with pytest.raises(
        ConfigurationError,
        match=r"Config has 2 problems:\n  executors: .*unique.*\n  retries: must be an int",
    ):
        freeze(config, NATIVE)


def test_defaults_differ_exactly_as_documented() -> None:
    names = {name for name in NATIVE.__slots__ if getattr(NATIVE, name) != getattr(PARSL, name)}

    assert names == {
        "name", "embedded_default", "load_without_config", "deep_dependencies", "lift_attributes",
        "errors_in_future", "rerun_lost", "heartbeat_period", "heartbeat_threshold", "waits_at_exit",
        "logger_name", "run_logs",
    }  # fmt: skip
    assert (NATIVE.heartbeat_period, NATIVE.heartbeat_threshold) == (
        timedelta(seconds=5),
        timedelta(seconds=30),
    )
    assert (PARSL.heartbeat_period, PARSL.heartbeat_threshold) == (
        timedelta(seconds=30),
        timedelta(seconds=120),
    )
    assert [log.file for log in PARSL.run_logs] == ["fanflow.log", "parsl.log"]


def test_defaults_are_selected_for_the_whole_process_and_given_back() -> None:
    before = select_defaults(PARSL)

    assert (before, current_defaults()) == (NATIVE, PARSL)
    assert select_defaults(before) is PARSL
    assert current_defaults() is NATIVE


def test_a_path_object_is_a_run_dir() -> None:
    assert freeze(Config(run_dir=Path(os.sep) / "scratch"), NATIVE).run_dir == Path("/scratch")
