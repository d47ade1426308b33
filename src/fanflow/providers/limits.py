"""Says what is wrong with the numbers that every provider has."""

from __future__ import annotations

import math

from fanflow.errors import ConfigurationError, OptionTypeError


def check_count(owner: str, name: str, value: object, least: int) -> None:
    """Lets an int pass that is not too small.

    Raises:
        OptionTypeError: It is no int.
        ConfigurationError: It is less than `least`.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise OptionTypeError(owner, name, value, "an int")
    if value < least:
        raise ConfigurationError(f"{owner}({name}={value}): must be at least {least}")


def check_parallelism(owner: str, value: object) -> None:
    """Lets a share of the work pass.

    Raises:
        OptionTypeError: It is no number.
        ConfigurationError: It is not from 0 to 1.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise OptionTypeError(owner, "parallelism", value, "a number from 0 to 1")
    if not 0 <= value <= 1:
        raise ConfigurationError(f"{owner}(parallelism={value}): must be from 0 to 1")


def check_seconds(owner: str, name: str, value: object) -> None:
    """Lets a time pass.

    Raises:
        OptionTypeError: It is no number.
        ConfigurationError: It is not more than 0.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise OptionTypeError(owner, name, value, "a number of seconds")
    if not value > 0 or math.isnan(value):
        raise ConfigurationError(f"{owner}({name}={value}): must be more than 0")


def check_text(owner: str, name: str, value: object) -> None:
    """Lets a string pass.

    Raises:
        OptionTypeError: It is none.
    """
    if not isinstance(value, str):
        raise OptionTypeError(owner, name, value, "shell text (a str)")
