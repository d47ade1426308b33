"""What one interchange is for, and whether a manager fits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fanflow.pilot import wire

_MOST_SLOTS: Final = 1 << 16
_UID_LENGTH: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class InterchangeSettings:
    """What one interchange is started with."""

    run_id: str
    python: str
    """Major and minor version that managers must have, such as `3.11`."""
    fanflow: str
    """Version that managers must have."""
    cloudpickle: str = ""
    """Major and minor version that managers must have, such as `3.1`; empty: any."""
    heartbeat_ms: int = 5_000
    threshold_ms: int = 30_000
    takes_over: bool = False
    """It replaces one that died: see `Takeover`."""


def minor_of(version: str) -> str:
    """Major and minor number of a version such as `3.1.2`."""
    return ".".join(version.split(".")[:2])


def why_refused(header: wire.Register, ours: InterchangeSettings) -> str:
    """Why this manager cannot take tasks of this run; empty if it can."""
    if header.version != wire.VERSION:
        return f"it speaks version {header.version} of the protocol, this run version {wire.VERSION}"
    if header.python != ours.python:
        return f"it runs Python {header.python}, this run Python {ours.python}"
    if header.fanflow != ours.fanflow:
        return f"it has fanflow {header.fanflow}, this run fanflow {ours.fanflow}"
    if ours.cloudpickle and minor_of(header.cloudpickle) != ours.cloudpickle:
        return f"it has cloudpickle {header.cloudpickle}, this run cloudpickle {ours.cloudpickle}"
    if header.trouble:
        return header.trouble
    if not 1 <= header.slots <= _MOST_SLOTS:
        return f"it offers {header.slots} workers"
    if not 1 <= len(header.uid) <= _UID_LENGTH:
        return f"its uid has {len(header.uid)} characters"
    return ""
