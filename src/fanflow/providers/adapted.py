"""Makes the provider that an executor works with from any object with the methods of the public contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol, cast

from fanflow.errors import OptionTypeError
from fanflow.ids import JobId
from fanflow.launchers.errors import ExecutionProviderException
from fanflow.model.jobs import JobState, JobStatus
from fanflow.providers.errors import ScaleOutFailed
from fanflow.providers.job_scripts import make_script_dir
from fanflow.spi.provider import JobRequest, Provider, ProviderContext, ProviderSpec

_LABEL = "provider"
_INTERVAL_S = 60.0


class ContractProvider(Protocol):
    """The methods of the public contract. Which types they take and give differs among providers."""

    def submit(self, command: str, tasks_per_node: int, job_name: str = ..., /) -> object: ...

    def status(self, job_ids: list[object], /) -> object: ...

    def cancel(self, job_ids: list[object], /) -> object: ...


class AdaptedJobs:
    """The running half of a provider of the public contract. Called from one internal thread.

    Args:
        provider: Whose methods are called. They may raise anything.
        context: Where job scripts go.
    """

    def __init__(self, provider: ContractProvider, context: ProviderContext) -> None:
        self._provider = provider
        self._ids: dict[JobId, object] = {}
        """Our id -> the provider's own, which may be of any type and may come again."""
        make_script_dir(context.script_dir)
        with suppress(AttributeError):  # an object with fixed attributes that writes no scripts
            provider.script_dir = str(context.script_dir)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # not every provider declares it

    @property
    def label(self) -> str:
        return _text(self._provider, "label", type(self._provider).__name__)

    @property
    def status_polling_interval(self) -> float:
        return _number(self._provider, "status_polling_interval", _INTERVAL_S)

    def submit(self, request: JobRequest) -> JobId:
        try:
            own_id = self._provider.submit(request.command, request.tasks_per_node, request.name)
        except ExecutionProviderException:
            raise
        except Exception as error:
            raise ScaleOutFailed(self, f"submit raised {type(error).__name__}: {error}") from error
        if not own_id:
            raise ScaleOutFailed(self, f"it gave no id for job {request.name} (submit returned {own_id!r})")
        job = JobId(str(own_id))
        count = 1
        while job in self._ids:
            count += 1
            job = JobId(f"{own_id}.{count}")
        self._ids[job] = own_id
        return job

    def status(self, jobs: Sequence[JobId]) -> Mapping[JobId, JobStatus]:
        known = [job for job in jobs if job in self._ids]
        if not known:
            return {}
        try:
            given = self._provider.status([self._ids[job] for job in known])
            found = [_status(item) for item in cast("Sequence[object]", given)]
        except ExecutionProviderException:
            raise
        except Exception as error:
            raise ExecutionProviderException(
                f"provider {self.label} cannot say how jobs {', '.join(known)} are: "
                f"status raised {type(error).__name__}: {error}"
            ) from error
        if len(found) != len(known):
            raise ExecutionProviderException(
                f"provider {self.label} was asked for the status of {len(known)} jobs and gave {len(found)}; "
                f"nobody knows which"
            )
        return dict(zip(known, found, strict=True))

    def cancel(self, jobs: Sequence[JobId]) -> None:
        known = [job for job in jobs if job in self._ids]
        if not known:
            return
        try:
            self._provider.cancel([self._ids[job] for job in known])
        except ExecutionProviderException:
            raise
        except Exception as error:
            raise ExecutionProviderException(
                f"provider {self.label} cannot cancel jobs {', '.join(known)}: "
                f"cancel raised {type(error).__name__}: {error}"
            ) from error


class AdaptedProvider:
    """The settable half of an object that has the methods of a provider and is none.

    Args:
        provider: The object; attributes that it lacks have the defaults of `ExecutionProvider`.
    """

    def __init__(self, provider: ContractProvider) -> None:
        self.provider = provider
        self.nodes_per_block = int(_number(provider, "nodes_per_block", 1))
        self.init_blocks = int(_number(provider, "init_blocks", 1))
        self.min_blocks = int(_number(provider, "min_blocks", 0))
        self.max_blocks = int(_number(provider, "max_blocks", 1))
        self.parallelism = _number(provider, "parallelism", 1)

    @property
    def label(self) -> str:
        """Name of the kind of provider."""
        return _text(self.provider, "label", type(self.provider).__name__)

    @property
    def cores_per_node(self) -> int | None:
        """Cores that a job gets on each node, if the object says."""
        return int(_number(self.provider, "cores_per_node", 0)) or None

    @property
    def mem_per_node(self) -> float | None:
        """GB that a job gets on each node, if the object says."""
        return _number(self.provider, "mem_per_node", 0) or None

    def build(self, context: ProviderContext) -> Provider:
        """The running half: calls the object's methods."""
        return AdaptedJobs(self.provider, context)

    def __repr__(self) -> str:
        return repr(self.provider)


def provider_spec(owner: str, value: object) -> ProviderSpec:
    """The value itself if it is a provider, else an adapter of it.

    Args:
        owner: What takes the option `provider`, for the message.
        value: What was given.

    Raises:
        OptionTypeError: It is the class, or has not the methods of a provider.
    """
    if not isinstance(value, type):
        if isinstance(value, ProviderSpec):
            return value
        if all(callable(getattr(value, name, None)) for name in ("submit", "status", "cancel")):
            return AdaptedProvider(cast("ContractProvider", value))
    hint = f" (write {value.__name__}(...))" if isinstance(value, type) else ""
    raise OptionTypeError(owner, "provider", value, f"a provider object{hint}")


def _status(item: object) -> JobStatus:
    """A provider may come with a status class of its own, of the same attributes."""
    if isinstance(item, JobStatus):
        return item
    code: object = getattr(item, "exit_code", None)
    try:
        state = JobState(int(cast("int", getattr(item, "state", item))))
    except (TypeError, ValueError):
        return JobStatus(JobState.UNKNOWN, f"the provider said {item!r}")
    return JobStatus(
        state,
        _text(item, "message", "") or None,
        code if isinstance(code, int) else None,
        _text(item, "stdout_path", "") or None,
        _text(item, "stderr_path", "") or None,
    )


def _text(owner: object, name: str, default: str) -> str:
    value: object = getattr(owner, name, None)
    return default if value is None else str(value)


def _number(owner: object, name: str, default: float) -> float:
    value: object = getattr(owner, name, None)
    return value if isinstance(value, int | float) else default
