"""Says hello with each kind of app: a function, a shell command, and a task that starts tasks."""

import shlex
import tempfile
from concurrent.futures import Future
from pathlib import Path

from fanflow import File, bash_app, join_app, python_app


@python_app
def greet(name: str) -> str:
    return f"Hello, {name}!"


@bash_app
def shout(text: str, outputs: list[File]) -> str:
    return f"echo {shlex.quote(text)} | tr '[:lower:]' '[:upper:]' > {shlex.quote(outputs[0].filepath)}"


@python_app
def read(file: File) -> str:
    return Path(file).read_text().strip()


@join_app
def greet_all(names: str) -> list[Future[str]]:
    return [greet(name) for name in names.split()]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        greeting = greet("World")
        loud = shout(greeting, outputs=[File(f"{folder}/loud.txt")])
        print(greeting.result())
        print(read(loud.outputs[0]).result())
        print(*greet_all("Ada Grace Katherine").result(), sep="\n")


if __name__ == "__main__":
    main()
