"""What the pages about seams build is right, not only runnable."""

import os
import subprocess
import sys
from pathlib import Path

from tools.generated_parts import ROOT
from tools.markdown_blocks import python_script, read_blocks


def test_the_executor_on_its_page_passes_the_conformance_suite(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "seams" / "executor.md").read_text(encoding="utf-8")
    module = tmp_path / "test_page.py"
    module.write_text(python_script(read_blocks(page)), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, module],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
