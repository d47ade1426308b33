"""Configuration: the options of a run, their defaults, and where they are read from."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanflow.config.options import Config

__all__ = ["Config"]


def __getattr__(name: str) -> object:
    if name != "Config":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fanflow.config.options import Config

    return Config
