from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fanflow.config.options import Config
from fanflow.config.registry import BUILTIN_EXECUTORS, executor_factory, executor_names
from fanflow.config.sources import config_from_mapping, find_config
from fanflow.errors import ConfigurationError
from fanflow.logs import FileLogging
from fanflow.spi.executor import BuildContext, Executor


class Spec:
    """An executor type of another package."""

    def __init__(
        self,
        label: str = "spec",
        size: int = 1,
        command: str = "",
        on_start: Callable[[str], None] | None = None,
    ) -> None:
        if size < 0:
            raise ConfigurationError(f"Spec(size={size}): size must be at least 0")
        if size > 9:
            raise RuntimeError("too big")
        self.label, self.size, self.command, self.on_start = label, size, command, on_start

    def build(self, context: BuildContext) -> Executor:
        raise NotImplementedError


def make_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


def price(error: Exception, task: object) -> float:
    return 0.5


@pytest.fixture(autouse=True)
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs a package with executor types `spec`, `broken` and `number`, and a module of functions."""
    site = tmp_path / "site"
    info = site / "other_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[fanflow.executors]\nspec = other_types:Spec\n"
        "broken = other_broken:Spec\nnumber = other_types:number\n"
    )
    (site / "other_broken.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(sys.modules, "other_types", sys.modules[__name__])


number = 3


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def load_file(path: Path) -> Config:
    return find_config({"FANFLOW_CONFIG": str(path)}).config


def message_of(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_file(path)
    return str(caught.value)


def test_without_variables_the_default_is_used_and_no_file_is_read(tmp_path: Path) -> None:
    write(tmp_path / "fanflow.toml", "retries = 'broken'")

    config, source = find_config({}, tmp_path)

    assert repr(config) == "Config()"
    assert source == "the default"


def test_a_toml_file_spells_the_same_objects(tmp_path: Path) -> None:
    path = write(
        tmp_path / "site.toml",
        """
        retries = 2
        run_dir = "runs"
        max_idletime = 3.5
        retry_handler = "other_types:price"
        initialize_logging = "fanflow.logs:FileLogging"

        [[executors]]
        type = "spec"
        label = "one"
        size = 4
        command = "host:port"
        on_start = "other_types:price"

        [[executors]]
        type = "spec"
        label = "two"
        """,
    )

    config = load_file(path)

    one, two = config.executors
    assert isinstance(one, Spec)
    assert (one.label, one.size, one.command, two.label) == ("one", 4, "host:port", "two")
    assert one.on_start is price
    assert (config.retries, config.run_dir, config.max_idletime) == (2, "runs", 3.5)
    assert config.retry_handler is price
    assert isinstance(config.initialize_logging, FileLogging)


def test_built_in_executor_types_need_no_installation(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "[[executors]]\ntype = 'threads'\nmax_threads = 3\n")

    (threads,) = load_file(path).executors

    assert (threads.label, getattr(threads, "max_threads", None)) == ("threads", 3)


@pytest.mark.parametrize("name", sorted(BUILTIN_EXECUTORS))
def test_every_built_in_executor_type_is_where_the_table_says(name: str) -> None:
    assert name in executor_names()
    assert callable(executor_factory(name))


def test_the_pool_of_an_adapter_is_named_by_reference(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "[[executors]]\ntype = 'adapter'\nmake = 'other_types:make_pool'\n")

    (adapter,) = load_file(path).executors

    assert getattr(adapter, "make", None) is make_pool


def test_a_required_option_of_an_executor_that_is_missing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "[[executors]]\ntype = 'adapter'\n")

    assert message_of(path) == f"{path}: executors[0].make: is missing; executor type 'adapter' needs it"


def test_all_mistakes_of_a_file_are_reported_with_their_paths(tmp_path: Path) -> None:
    path = write(
        tmp_path / "site.toml",
        """
        retris = 2
        exit_mode = "waitt"
        retry_handler = "nowhere"
        std_autopath = "other_types:missing"

        [[executors]]
        type = "spec"
        siize = 3

        [[executors]]
        type = "spek"

        [[executors]]
        label = "x"

        [[executors]]
        type = "spec"
        size = -1
        """,
    )

    lines = message_of(path).splitlines()

    assert lines[0] == f"{path} has 8 problems:"
    problems = dict(line.strip().split(": ", 1) for line in lines[1:])
    assert set(problems) == {
        "retris", "exit_mode", "retry_handler", "std_autopath", "executors[0].siize", "executors[1].type",
        "executors[2].type", "executors[3]",
    }  # fmt: skip
    assert "did you mean 'retries'?" in problems["retris"]
    assert "did you mean 'wait'?" in problems["exit_mode"]
    assert "'nowhere'" in problems["retry_handler"]
    assert "module:attribute" in problems["retry_handler"]
    assert "AttributeError" in problems["std_autopath"]
    assert "did you mean 'size'?" in problems["executors[0].siize"]
    assert "did you mean 'spec'?" in problems["executors[1].type"]
    assert "inline" in problems["executors[1].type"]
    assert "size must be at least 0" in problems["executors[3]"]


def test_a_single_mistake_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "retries = '3'")

    assert message_of(path) == f"{path}: retries: takes an int of at least 0, not str ('3')"


def test_labels_of_a_file_have_to_be_unique(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "[[executors]]\ntype='spec'\n[[executors]]\ntype='spec'\n")

    assert message_of(path) == f"{path}: executors: Executors must have unique labels (label='spec')"


def test_one_executor_table_instead_of_a_list_is_explained(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "[executors]\ntype = 'spec'\n")

    assert "executors: takes a list of tables ([[executors]]), not dict" in message_of(path)


def test_an_executor_type_that_fails_to_import_is_named_with_its_package(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "[[executors]]\ntype = 'broken'\n")

    message = message_of(path)

    assert "'broken' is offered by package other-package as other_broken:Spec" in message
    assert "No module named 'a_module_that_is_not_there'" in message


def test_an_executor_type_that_is_no_class_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "[[executors]]\ntype = 'number'\n")

    assert "other_types:number, which is no class or function" in message_of(path)


def test_a_name_offered_by_two_packages_is_refused(tmp_path: Path) -> None:
    info = tmp_path / "site" / "rival-1.0.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    write(info / "entry_points.txt", "[fanflow.executors]\nthreads = rival:Threads\n")
    path = write(tmp_path / "c.toml", "[[executors]]\ntype = 'threads'\n")

    message = message_of(path)

    assert "'threads' is offered twice" in message
    assert "rival:Threads (of package rival)" in message


def test_an_executor_whose_constructor_fails_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "[[executors]]\ntype = 'spec'\nsize = 99\n")

    assert message_of(path) == f"{path}: executors[0]: type 'spec' raised RuntimeError: too big"


def test_a_feature_that_is_not_there_yet_is_not_accepted_silently(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "monitoring = 'x:y'\n")

    assert "monitoring: the monitoring database is not available in this version" in message_of(path)


def test_data_that_is_already_python_is_taken_as_it_is() -> None:
    assert config_from_mapping({"retry_handler": price}, "test").retry_handler is price


def test_a_missing_file_is_named_with_the_variable(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"FANFLOW_CONFIG='gone\.toml': there is no file .*/gone\.toml"
    ):
        find_config({"FANFLOW_CONFIG": "gone.toml"}, tmp_path)


def test_bad_toml_is_reported_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "c.toml", "retries = 1\nrun_dir runs\n")

    assert f"{path} is not valid TOML" in message_of(path)
    assert "line 2" in message_of(path)


def test_a_file_that_is_no_text_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"run_dir = '\xff'")

    assert "is not UTF-8 text (byte 11)" in message_of(path)


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "c.toml").mkdir()
    (tmp_path / "c.py").mkdir()

    assert "cannot be read (Is a directory)" in message_of(tmp_path / "c.toml")
    assert "c.py" in message_of(tmp_path / "c.py")


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "c.yaml", "retries: 1")

    assert "ends in .toml or .py" in message_of(path)


def test_a_python_file_gives_its_config(tmp_path: Path) -> None:
    path = write(tmp_path / "c.py", "from fanflow.config import Config\nconfig = Config(retries=3)\n")

    assert load_file(path).retries == 3


def test_a_python_file_may_make_a_fresh_config(tmp_path: Path) -> None:
    text = "from fanflow.config import Config\nlevel = 4\ndef fresh_config(): return Config(retries=level)\n"
    path = write(tmp_path / "c.py", text)

    assert load_file(path).retries == 4


def test_a_python_file_leaves_nothing_beside_itself_and_no_module(tmp_path: Path) -> None:
    path = write(tmp_path / "own" / "c.py", "from fanflow.config import Config\nconfig = Config()\n")
    modules = set(sys.modules)

    load_file(path)

    assert list(path.parent.iterdir()) == [path]
    assert {name for name in set(sys.modules) - modules if not name.startswith("fanflow")} <= {"runpy"}


def test_a_python_file_that_raises_shows_its_own_traceback(tmp_path: Path) -> None:
    path = write(tmp_path / "c.py", "x = 1\nx / 0\n")

    with pytest.raises(
        ConfigurationError, match=r"c\.py raised ZeroDivisionError: division by zero"
    ) as caught:
        load_file(path)

    cause = caught.value.__cause__
    assert cause is not None
    assert cause.__traceback__ is not None
    assert (cause.__traceback__.tb_frame.f_code.co_filename, cause.__traceback__.tb_lineno) == (str(path), 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(:\n", "raised SyntaxError"),
        ("import sys; sys.exit(3)", "raised SystemExit: 3"),
        ("x = 1", "defines neither `config` nor a function `fresh_config`"),
        ("config = {'retries': 1}", "a dict; make it a fanflow.Config"),
        ("def fresh_config(): pass", "its configuration is None, a NoneType; make it a fanflow.Config"),
    ],
)
def test_a_python_file_without_a_config_is_explained(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in message_of(write(tmp_path / "c.py", text))
