"""A file as apps see it: where it lives, and where it is on the machine that uses it."""

from __future__ import annotations

import os
from typing import cast
from urllib.parse import unquote, urlsplit


class File:
    """A file named by a path or a URL; usable wherever Python takes a path.

    Args:
        url: A path (relative ones stay relative to the directory in which the task runs), or
            `scheme://host/path`. Every scheme is parsed; which can be staged depends on the executor.

    Attributes:
        url: As given, as a string.
        scheme: `file` for plain paths.
        netloc: Host part of the URL, or empty.
        path: Path part of the URL.
        filename: Last component of the path.
        local_path: Where staging put a copy, or None.

    Raises:
        TypeError: `url` is neither a string nor an `os.PathLike` that gives one.
        ValueError: It is empty.
    """

    __slots__ = ("local_path", "netloc", "path", "scheme", "url")

    def __init__(self, url: str | os.PathLike[str]) -> None:
        if isinstance(url, File):
            raise TypeError(f"File({url!r}): already a File; use it as it is, or File.cleancopy()")
        given = cast(object, os.fspath(url))
        if not isinstance(given, str):
            raise TypeError(f"File({given!r}): takes a str or os.PathLike[str], not {type(given).__name__}")
        if not given:
            raise ValueError("File(''): takes a path or a URL, not an empty string")
        text = given
        self.url = text
        if "://" in text or text.startswith(("file:", "zip:")):
            parts = urlsplit(text)
            self.scheme, self.netloc = parts.scheme, parts.netloc
            self.path = unquote(parts.path) if self.scheme == "file" else parts.path
        else:
            self.scheme, self.netloc, self.path = "file", "", text
        self.local_path: str | None = None

    @property
    def filename(self) -> str:
        """Last component of the path."""
        return os.path.basename(self.path)

    @property
    def filepath(self) -> str:
        """Where the file is on this machine.

        Raises:
            ValueError: It is remote and has not been staged.
        """
        if self.local_path is not None:
            return self.local_path
        if self.scheme == "file":
            return self.path
        raise ValueError(
            f"No local_path set for {self!r}; a {self.scheme!r} file has a path only inside a task "
            f"that got it as an argument, after staging"
        )

    def cleancopy(self) -> File:
        """The same URL, without a local path."""
        return File(self.url)

    def __fspath__(self) -> str:
        return self.filepath

    def __str__(self) -> str:
        return self.filepath

    def __repr__(self) -> str:
        local = f" local_path={self.local_path}" if self.local_path is not None else ""
        return f"<File {self.url}{local}>"
