"""What obtains batch jobs: today, processes of this machine, and whatever a user's own provider obtains."""

from typing import TYPE_CHECKING

from fanflow.lazy_names import lazy_names

if TYPE_CHECKING:
    from fanflow.providers.local import LocalProvider
    from fanflow.providers.provider import ExecutionProvider

__all__ = ["ExecutionProvider", "LocalProvider"]

_WHERE = {"ExecutionProvider": "fanflow.providers.provider", "LocalProvider": "fanflow.providers.local"}

__getattr__ = lazy_names(__name__, _WHERE)
