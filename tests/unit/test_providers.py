from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fanflow import providers
from fanflow.config.mapping import config_from_mapping
from fanflow.config.registry import (
    BUILTIN_LAUNCHERS,
    BUILTIN_PROVIDERS,
    LAUNCHERS,
    PROVIDERS,
    PluginKind,
    plugin_factory,
    plugin_names,
)
from fanflow.errors import ConfigurationError, FanflowError, OptionTypeError
from fanflow.ids import JobId
from fanflow.launchers import Launcher, SingleNodeLauncher
from fanflow.launchers.errors import BadLauncher, ExecutionProviderException
from fanflow.model.jobs import JobState, JobStatus
from fanflow.providers import ExecutionProvider, LocalProvider
from fanflow.providers.adapted import provider_spec
from fanflow.providers.errors import ScaleOutFailed, SchedulerMissingArgs, ScriptPathError, SubmitException
from fanflow.spi.executor import BuildContext, Executor
from fanflow.spi.provider import JobRequest, ProviderSpec

REQUEST = JobRequest(command="manager", name="parsl.x.block-0")


@dataclass
class Context:
    script_dir: Path = field(default_factory=lambda: Path("scripts").absolute())


class Site(ExecutionProvider):
    """A user's own provider: answers what the test says."""

    def __init__(self) -> None:
        self.next_id: object = 17
        self.answer: object = [JobStatus(JobState.RUNNING)]
        self.cancelled: list[object] = []
        self.asked: list[tuple[str, int, str]] = []

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.auto") -> object:
        self.asked.append((command, tasks_per_node, job_name))
        if isinstance(self.next_id, Exception):
            raise self.next_id
        return self.next_id

    def status(self, job_ids: list[object]) -> list[JobStatus]:
        if isinstance(self.answer, Exception):
            raise self.answer
        assert all(isinstance(job, int) for job in job_ids)
        return self.answer  # type: ignore[return-value]  # a provider may give anything

    def cancel(self, job_ids: list[object]) -> list[bool]:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.cancelled += job_ids
        return [True for _ in job_ids]

    @property
    def label(self) -> str:
        return "site"

    @property
    def status_polling_interval(self) -> int:
        return 7


class Spec:
    """An executor type of another package that takes a provider."""

    def __init__(self, provider: ProviderSpec, label: str = "blocks") -> None:
        self.provider, self.label = provider, label

    def build(self, context: BuildContext) -> Executor:
        raise NotImplementedError


@pytest.mark.parametrize("name", providers.__all__)
def test_every_public_provider_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(providers, name))


def test_an_unknown_provider_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'fanflow\.providers' has no attribute 'X'"):
        _ = providers.X


def test_the_local_provider_has_the_options_of_the_public_contract() -> None:
    parameters = inspect.signature(LocalProvider).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}

    assert defaults == {
        "nodes_per_block": 1,
        "launcher": None,
        "init_blocks": 1,
        "min_blocks": 0,
        "max_blocks": 1,
        "worker_init": "",
        "cmd_timeout": 30,
        "parallelism": 1,
    }
    assert isinstance(LocalProvider().launcher, SingleNodeLauncher)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"nodes_per_block": 0}, ConfigurationError, "nodes_per_block=0"),
        ({"init_blocks": -1}, ConfigurationError, "init_blocks=-1"),
        ({"max_blocks": 1.5}, OptionTypeError, "max_blocks"),
        ({"worker_init": None}, OptionTypeError, "worker_init"),
        ({"parallelism": 2}, ConfigurationError, "parallelism=2"),
        ({"parallelism": "1"}, OptionTypeError, "parallelism"),
        ({"cmd_timeout": 0}, ConfigurationError, "cmd_timeout=0"),
        ({"launcher": SingleNodeLauncher}, BadLauncher, "SingleNodeLauncher"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        LocalProvider(**options)  # type: ignore[arg-type]  # that is the mistake


def test_an_option_that_is_set_later_is_checked_again() -> None:
    provider = LocalProvider()
    provider.nodes_per_block = 0

    with pytest.raises(ConfigurationError, match="nodes_per_block=0"):
        provider.build(Context())


def test_fewer_blocks_at_most_than_at_first_are_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    LocalProvider(init_blocks=2, max_blocks=1).build(Context())

    assert "init_blocks=2 is more than max_blocks=1, which holds" in caplog.text


def test_a_provider_can_be_built_twice_and_is_data() -> None:
    provider = LocalProvider()

    first, second = provider.build(Context()), provider.build(Context())

    assert isinstance(provider, ProviderSpec)
    assert first is not second


def test_a_users_own_provider_is_asked_for_jobs(tmp_path: Path) -> None:
    site = Site()
    jobs = site.build(Context())

    job = jobs.submit(REQUEST)

    assert (job, jobs.label, jobs.status_polling_interval) == ("17", "site", 7)
    assert site.asked == [("manager", 1, "parsl.x.block-0")]
    assert site.script_dir == str(tmp_path / "scripts")
    assert jobs.status([job, JobId("other")]) == {job: JobStatus(JobState.RUNNING)}


def test_a_job_of_a_users_own_provider_is_cancelled_by_its_own_id() -> None:
    site = Site()
    jobs = site.build(Context())

    jobs.cancel([jobs.submit(REQUEST), JobId("other")])

    assert site.cancelled == [17]


def test_an_id_that_comes_again_is_another_job() -> None:
    jobs = Site().build(Context())

    assert [jobs.submit(REQUEST) for _ in range(3)] == ["17", "17.2", "17.3"]


@pytest.mark.parametrize("nothing", [None, "", 0, False])
def test_no_id_is_no_job(nothing: object) -> None:
    site = Site()
    site.next_id = nothing

    with pytest.raises(
        ScaleOutFailed, match=r"Unable to scale out site provider: it gave no id for job parsl\.x"
    ):
        site.build(Context()).submit(REQUEST)


def test_what_submit_raises_is_the_reason() -> None:
    site = Site()
    site.next_id = KeyError("queue")

    with pytest.raises(ScaleOutFailed, match="submit raised KeyError: 'queue'") as caught:
        site.build(Context()).submit(REQUEST)

    assert caught.value.__cause__ is site.next_id


def test_an_error_of_a_provider_is_passed_on_as_it_is() -> None:
    site = Site()
    site.next_id = SubmitException("x", "sbatch: invalid partition")

    with pytest.raises(SubmitException, match="invalid partition"):
        site.build(Context()).submit(REQUEST)


@pytest.mark.parametrize("answer", [OSError("no route"), [], [JobStatus(JobState.COMPLETED)] * 2, None])
def test_an_answer_that_does_not_fit_the_question_tells_nothing(answer: object) -> None:
    site = Site()
    jobs = site.build(Context())
    job = jobs.submit(REQUEST)
    site.answer = answer

    with pytest.raises(ExecutionProviderException, match="provider site"):
        jobs.status([job])


def test_a_cancel_that_raises_says_which_jobs_may_run() -> None:
    site = Site()
    jobs = site.build(Context())
    job = jobs.submit(REQUEST)
    site.answer = OSError("no route")

    with pytest.raises(ExecutionProviderException, match="cannot cancel jobs 17"):
        jobs.cancel([job])


@dataclass
class OtherStatus:
    state: object
    message: str = "words"
    exit_code: int | None = 3


@pytest.mark.parametrize(
    ("given", "state"), [(5, JobState.FAILED), ("?", JobState.UNKNOWN), (99, JobState.UNKNOWN)]
)
def test_a_status_class_of_the_providers_own_is_understood(given: object, state: JobState) -> None:
    site = Site()
    jobs = site.build(Context())
    job = jobs.submit(REQUEST)
    site.answer = [OtherStatus(given)]

    assert jobs.status([job])[job].state is state


class Duck:
    """Has the methods of a provider, and nothing else."""

    def submit(self, command: str, tasks_per_node: int, job_name: str = "") -> str:
        return "d1"

    def status(self, job_ids: list[object]) -> list[JobStatus]:
        return [JobStatus(JobState.PENDING) for _ in job_ids]

    def cancel(self, job_ids: list[object]) -> None:
        return None


def test_any_object_with_the_methods_is_a_provider() -> None:
    spec = provider_spec("Executor", Duck())
    jobs = spec.build(Context())

    job = jobs.submit(REQUEST)

    assert (spec.label, spec.nodes_per_block, spec.max_blocks, spec.cores_per_node) == ("Duck", 1, 1, None)
    assert jobs.status([job])[job].state is JobState.PENDING


def test_a_provider_is_taken_as_it_is() -> None:
    provider = LocalProvider()

    assert provider_spec("Executor", provider) is provider


@pytest.mark.parametrize(
    ("value", "said"), [(LocalProvider, r"write LocalProvider\(\.\.\.\)"), ("slurm", "provider")]
)
def test_what_is_no_provider_is_refused(value: object, said: str) -> None:
    with pytest.raises(OptionTypeError, match=said):
        provider_spec("Executor", value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ScaleOutFailed("slurm", "no nodes"), "Unable to scale out slurm provider: no nodes"),
        (
            SchedulerMissingArgs(["account"], "site"),
            "SchedulerMissingArgs: Pool site requires keywords ['account']",
        ),
        (ScriptPathError("a.sh", OSError("full")), "Unable to write submit script:a.sh Reason:full"),
        (
            SubmitException("j", "refused", "out", "err", 1),
            "Cannot launch job j: refused; exit status 1; stdout: out; stderr: err",
        ),
    ],
)
def test_an_error_says_what_happened_and_pickles(error: FanflowError, said: str) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert isinstance(error, ExecutionProviderException)
    assert (str(error), str(again), vars(again)) == (said, said, vars(error))


def test_the_old_name_of_a_job_name_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="use job_name"):
        assert SubmitException("j", "refused").task_name == "j"


@pytest.mark.parametrize(
    ("kind", "name"),
    [(PROVIDERS, name) for name in BUILTIN_PROVIDERS] + [(LAUNCHERS, name) for name in BUILTIN_LAUNCHERS],
)
def test_every_built_in_type_is_where_the_table_says(kind: PluginKind, name: str) -> None:
    assert name in plugin_names(kind)
    assert callable(plugin_factory(kind, name))


def test_an_unknown_type_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match="there is no launcher type 'simpel'; did you mean 'simple'"):
        plugin_factory(LAUNCHERS, "simpel")


@pytest.fixture
def blocks_type(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, object]], Spec]:
    """Makes an executor with a provider from data."""
    monkeypatch.setattr("fanflow.config.registry.BUILTIN_EXECUTORS", {})
    monkeypatch.setitem(__import__("sys").modules, "other_blocks", __import__("sys").modules[__name__])

    def make(provider: dict[str, object]) -> Spec:
        from fanflow.config import registry

        monkeypatch.setitem(registry.EXECUTORS.builtin, "blocks", "other_blocks:Spec")  # type: ignore[misc]
        config = config_from_mapping({"executors": [{"type": "blocks", "provider": provider}]}, "x.toml")
        (spec,) = config.executors
        assert isinstance(spec, Spec)
        return spec

    return make


def test_a_configuration_names_provider_and_launcher(
    blocks_type: Callable[[dict[str, object]], Spec],
) -> None:
    launcher = {"type": "single_node", "fail_on_any": True}

    spec = blocks_type({"type": "local", "max_blocks": 3, "launcher": launcher})

    assert isinstance(spec.provider, LocalProvider)
    assert spec.provider.max_blocks == 3
    assert isinstance(spec.provider.launcher, Launcher)
    assert repr(spec.provider.launcher) == "SingleNodeLauncher(debug=True, fail_on_any=True)"


def test_every_mistake_in_nested_tables_is_listed_with_its_path(
    blocks_type: Callable[[dict[str, object]], Spec],
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        blocks_type({"type": "local", "max_block": 3, "launcher": {"type": "srn"}})

    said = str(caught.value)
    assert "executors[0].provider.max_block: is no option of provider type 'local'; did you mean" in said
    assert "executors[0].provider.launcher.type: there is no launcher type 'srn'" in said
