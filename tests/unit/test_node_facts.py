"""What a node says it has for workers."""

import os
import sys

import psutil
import pytest

from fanflow.errors import ConfigurationError
from fanflow.pilot.node_facts import look_at_node, total_bytes


def test_variables_win_over_what_is_found() -> None:
    facts = look_at_node({"PARSL_CORES": "12", "PARSL_MEMORY_GB": "3.5"})

    assert (facts.cores, facts.memory_gb) == (12.0, 3.5)


def test_without_variables_the_machine_is_looked_at() -> None:
    facts = look_at_node({})

    assert 0 < facts.cores <= (os.cpu_count() or 1)
    assert facts.memory_gb is not None
    assert 0 < facts.memory_gb <= psutil.virtual_memory().total / 2**30
    assert total_bytes() == pytest.approx(psutil.virtual_memory().total, rel=0.01)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="affinity is Linux's")
def test_cores_are_those_that_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    one = max(before)
    os.sched_setaffinity(0, {one})
    try:
        facts = look_at_node({})
    finally:
        os.sched_setaffinity(0, before)

    assert facts.core_numbers == (one,)
    assert facts.cores <= 1


@pytest.mark.parametrize("text", ["many", "0", "-1", "nan", "inf"])
def test_a_variable_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PARSL_CORES"):
        look_at_node({"PARSL_CORES": text})
