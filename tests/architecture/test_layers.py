"""The layer contract of pyproject.toml refuses what it should; `make check` applies it to the sources."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
LAYERS = re.findall(r"\w+", " ".join(CONTRACT["contracts"][0]["layers"]))
PURE = [module.removeprefix("fanflow.") for module in CONTRACT["contracts"][1]["source_modules"]]


def lint(folder: Path, imports: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Lints a package of empty layers and pure modules, each with the one line given for it."""
    package = folder / "fanflow"
    for name in {*LAYERS, *PURE, *imports}:
        module = package.joinpath(*name.split("."), "__init__.py")
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(imports.get(name, "") + "\n", encoding="utf-8")
    (package / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", folder)
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_imports_that_go_down_are_allowed(tmp_path: Path) -> None:
    done = lint(
        tmp_path,
        {
            "apps": "from fanflow import load, errors",
            "loading": "import fanflow.runtime, fanflow.executors",
            "runtime": "from fanflow.core import x",
            "core": "from fanflow import spi, model, ids",
        },
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        ("core", "from fanflow.runtime import x", "fanflow.core is not allowed to import fanflow.runtime"),
        ("executors", "import fanflow.pilot", "fanflow.executors is not allowed to import fanflow.pilot"),
        ("errors", "import fanflow.ids", "fanflow.errors is not allowed to import fanflow.ids"),
        ("core", "import threading", "fanflow.core is not allowed to import threading"),
        ("pilot.slots", "import zmq", "fanflow.pilot.slots is not allowed to import zmq"),
        ("stray", "", "stray"),
    ],
    ids=[
        "upwards",
        "a stranger",
        "a stranger below",
        "an impure core",
        "an impure part of the pilot",
        "a package in no layer",
    ],
)
def test_an_import_against_the_design_is_refused(
    module: str, line: str, complaint: str, tmp_path: Path
) -> None:
    done = lint(tmp_path, {module: line})

    assert done.returncode == 1
    assert complaint in done.stdout
