"""Runs all copies of a command on the node where the job script runs."""

from __future__ import annotations

from string import Template
from typing import Final

from fanflow.launchers.launcher import Launcher, check_copies

# Job control (set -m) gives each copy a group of its own, so that a signal reaches all of a copy that is
# more than one process. Its price: a signal to the group of the script reaches the script alone. The
# script passes it on, and ends when every copy has, or after 400 looks (20 s): where nobody collects orphans,
# a group of zombies never ends.
#
# Under job control bash reports jobs on standard error as it pleases: only copies and our own words go there.
_SCRIPT: Final = Template("""\
exec {fanflow_stderr}>&2 2>/dev/null
set -m
fanflow_copies=()
fanflow_signal=0
fanflow_failed=0
fanflow_looks=400
fanflow_pass_on() {
    fanflow_signal=$$1
    local copy
    for copy in "$${fanflow_copies[@]}"; do
        kill -s "$$2" -- "-$$copy" 2>/dev/null || :
    done
}
trap 'fanflow_pass_on 1 HUP' HUP
trap 'fanflow_pass_on 2 INT' INT
trap 'fanflow_pass_on 15 TERM' TERM
while [ "$${#fanflow_copies[@]}" -lt $count ] && [ "$$fanflow_signal" -eq 0 ]; do
    (
trap - HUP INT TERM
exec 2>&"$$fanflow_stderr" {fanflow_stderr}>&-
$command
    ) </dev/null &
    fanflow_copies+=("$$!")
done
set +m
if [ "$$fanflow_signal" -ne 0 ]; then  # it may have come before the last copy was listed
    fanflow_pass_on "$$fanflow_signal" "$$fanflow_signal"
fi
for fanflow_copy in "$${fanflow_copies[@]}"; do
    fanflow_status=0
    wait "$$fanflow_copy" || fanflow_status=$$?
    while [ "$$fanflow_signal" -ne 0 ] && [ "$$fanflow_looks" -gt 0 ]; do
        kill -0 -- "-$$fanflow_copy" 2>/dev/null || break
        wait "$$fanflow_copy" 2>/dev/null || sleep 0.05
        fanflow_looks=$$((fanflow_looks - 1))
    done
    if [ "$$fanflow_status" -ne 0 ] && [ "$$fanflow_signal" -eq 0 ]; then
        fanflow_failed=$$((fanflow_failed + 1))
        $report
    fi
done
if [ "$$fanflow_signal" -ne 0 ]; then
    exit $$((128 + fanflow_signal))
fi
if [ "$$fanflow_failed" -ge $threshold ]; then
    exit 1
fi
exit 0
""")

_REPORT: Final = 'echo "launcher: copy $fanflow_copy ended with status $fanflow_status" >&"$fanflow_stderr"'


class SingleNodeLauncher(Launcher):
    """Runs `tasks_per_node * nodes_per_block` copies of the command on one node, and waits for all.

    The exit status is 1 if every copy failed. SIGTERM, SIGINT and SIGHUP are passed on to the copies; the
    text then ends with 128 + the signal, after the last copy, or after 20 s if one does not end.

    Args:
        debug: Report copies that fail in the job's standard error.
        fail_on_any: Exit status 1 if one copy failed.
    """

    def __init__(self, debug: bool = True, fail_on_any: bool = False) -> None:
        super().__init__(debug)
        self.fail_on_any = fail_on_any

    def __call__(
        self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "", /
    ) -> str:
        count = check_copies("SingleNodeLauncher", tasks_per_node, nodes_per_block)
        return _SCRIPT.substitute(
            count=count,
            command=command,
            report=_REPORT if self.debug else ":",
            threshold=1 if self.fail_on_any else count,
        )
