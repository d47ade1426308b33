"""Makes the virtual environment and installs this checkout into it: `make_venv.py VENV EXTRAS STAMP`.

Run by whatever Python the machine has, so the first check has to parse on old ones. Several runs at
once queue up behind a lock; the later ones find the work done and return.
"""

import os
import subprocess
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "fanflow needs Python 3.11 or later, but %s is %d.%d: install a newer one, "
        "or name one with 'make PYTHON=/path/to/python3.11'" % (sys.executable, *sys.version_info[:2])
    )

import fcntl
import importlib.util
import pathlib
import shlex


def has_venv():
    """Debian splits ensurepip off into a package of its own; without it venv leaves a broken directory."""
    return all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip"))


def is_usable(venv):
    """Built completely, by an interpreter that is still there, and not copied from another place."""
    settings = venv / "pyvenv.cfg"
    if not settings.is_file():
        return False
    for line in settings.read_text().splitlines():
        key, _, value = line.partition(" = ")
        if key == "command" and pathlib.Path(shlex.split(value)[-1]).resolve() != venv.resolve():
            return False
    return runs([venv / "bin" / "python", "-m", "pip", "--version"])


def runs(command):
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    return done.returncode == 0


def is_fresh(stamp):
    """Another make may have finished the same work while this one waited for the lock."""
    sources = (pathlib.Path("pyproject.toml"), pathlib.Path(__file__))
    return stamp.is_file() and all(stamp.stat().st_mtime >= source.stat().st_mtime for source in sources)


def requirement(extras, stamp):
    """Do not install fanflow itself again under a goal that may be running; just add what is missing."""
    stamps = stamp.parent.glob(stamp.name.removesuffix(extras) + "*")
    if any(is_fresh(other) for other in stamps):
        return [f"fanflow[{extras}]"]
    return ["--editable", f".[{extras}]"]


def install(venv, extras, stamp):
    if not is_usable(venv):
        print(f"making {venv} with {sys.executable}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    print(f"installing fanflow and what '{extras}' needs into {venv} (once, about a minute)", flush=True)
    pip = [venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input", "-qq"]
    subprocess.run([*pip, "install", *requirement(extras, stamp)], check=True)


def main(venv, extras, stamp):
    if not has_venv():
        version = "python%d.%d" % sys.version_info[:2]
        return (
            f"{sys.executable} has no complete venv module: install it (on Debian and Ubuntu "
            f"'apt install {version}-venv'), or name another Python with 'make PYTHON=/path/to/python3.11'"
        )
    # Beside the environment, not in it: making the environment empties its directory.
    with open(f"{venv}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_fresh(stamp):
            return None
        try:
            install(venv, extras, stamp)
        except subprocess.CalledProcessError as failed:
            return f"could not set up {venv}: {shlex.join(map(str, failed.cmd))} failed, see above"
        stamp.touch()
    return None


if __name__ == "__main__":
    # Pip must install here, whatever environment make was called from.
    os.environ.pop("PYTHONHOME", None)
    os.environ.pop("PIP_TARGET", None)
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])))
