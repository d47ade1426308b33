"""A client that is killed leaves no process behind, whenever it happens."""

import os
import random
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest

from tests.leaks import wait_until

MARK = "CHAOS_RUN"

SCRIPT = """
import sys
from pathlib import Path
from tests.chaos.engines import Wave, loaded, pilot

with loaded(pilot(2, 2), 2):
    wave = Wave(Path(sys.argv[1]))
    wave.submit_many(20_000, 0.01)
    wave.wait(60.0)
"""


def marked(mark: str) -> list[psutil.Process]:
    """Every process that was started by the script, or by what it started."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 21))]
)
def test_nothing_outlives_a_killed_client(seed: int, tmp_path: Path) -> None:
    chance, mark, ledger = random.Random(seed), uuid.uuid4().hex, tmp_path / "ledger"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), MARK: mark}
    client = subprocess.Popen([sys.executable, "-c", SCRIPT, str(ledger)], env=environment)
    try:
        if seed % 2:  # while tasks run; otherwise at any time, while processes are being started too
            wait_until(ledger.exists, 20.0)
        else:
            wait_until(lambda: len(marked(mark)) > chance.randint(1, 8), 20.0)
        before = marked(mark)

        client.send_signal(signal.SIGKILL)
        client.wait()
        wait_until(lambda: not marked(mark), 5.0)
        left = marked(mark)
    finally:
        for process in marked(mark):
            process.kill()
        client.wait()

    assert len(before) >= (9 if seed % 2 else 2)
    assert left == []
