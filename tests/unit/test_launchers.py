from __future__ import annotations

import inspect
import pickle

import pytest

from fanflow import launchers
from fanflow.errors import ConfigurationError, OptionTypeError
from fanflow.launchers import Launcher, SimpleLauncher, SingleNodeLauncher, WrappedLauncher
from fanflow.launchers.errors import BadLauncher, ExecutionProviderException
from fanflow.launchers.launcher import check_launcher
from fanflow.spi.launcher import Launcher as LauncherSeam


@pytest.mark.parametrize("name", launchers.__all__)
def test_every_public_launcher_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(launchers, name))


def test_an_unknown_launcher_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'fanflow\.launchers' has no attribute 'X'"):
        _ = launchers.X


def test_a_launcher_of_the_users_own_is_a_launcher() -> None:
    class Mine(Launcher):
        def __call__(self, command: str, tasks: int, nodes: int, script_dir: str = "", /) -> str:
            return f"mine {command}"

    launcher: LauncherSeam = check_launcher(Mine())

    assert launcher("x", 1, 1) == "mine x"


def test_a_function_can_be_a_launcher() -> None:
    def launcher(command: str, tasks: int, nodes: int, script_dir: str = "") -> str:
        return command

    assert check_launcher(launcher) is launcher


@pytest.mark.parametrize("value", ["srun", None, 3])
def test_what_cannot_be_called_is_a_bad_launcher(value: object) -> None:
    with pytest.raises(BadLauncher, match=r"^Bad launcher provided: .*expecting a Launcher object") as caught:
        check_launcher(value)

    assert isinstance(caught.value, ExecutionProviderException)
    assert isinstance(caught.value, TypeError)


def test_the_class_of_a_launcher_is_a_bad_launcher_and_the_message_says_what_to_write() -> None:
    with pytest.raises(BadLauncher, match=r"write SingleNodeLauncher\(\.\.\.\)"):
        check_launcher(SingleNodeLauncher)


def test_a_bad_launcher_error_pickles() -> None:
    error = BadLauncher(lambda: 0)

    again = pickle.loads(pickle.dumps(error))

    assert (str(again), again.launcher) == (str(error), error.launcher)


def test_launchers_show_their_options() -> None:
    assert repr(SingleNodeLauncher(fail_on_any=True)) == "SingleNodeLauncher(debug=True, fail_on_any=True)"
    assert repr(WrappedLauncher("time")) == "WrappedLauncher(debug=True, prepend='time')"
    assert repr(SimpleLauncher(False)) == "SimpleLauncher(debug=False)"


def test_a_prefix_that_is_no_text_is_refused() -> None:
    with pytest.raises(OptionTypeError, match="shell text"):
        WrappedLauncher(["srun"])  # type: ignore[arg-type]  # that is the mistake


def test_a_number_of_copies_that_is_no_int_is_refused() -> None:
    with pytest.raises(OptionTypeError, match="tasks_per_node"):
        SingleNodeLauncher()("true", 1.5, 1)  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(ConfigurationError):
        SingleNodeLauncher()("true", True, 1)
