"""Encodings of Files: by content where that is quick, else by what the file system says of them."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections import OrderedDict

from fanflow.memo.encoding import text
from fanflow.model.files import File

MOST_CONTENT = 64 * 1024 * 1024
"""Bytes up to which a local file counts by its content."""

_MOST_KNOWN = 4096
_SETTLED_S = 2.0
"""A file younger than this may still change without its times showing it."""

_Identity = tuple[int, int, int, int, int]

_known: OrderedDict[_Identity, bytes] = OrderedDict()
_lock = threading.Lock()


def encode_file(file: File, output_ref: bool) -> bytes:
    """A File by its URL and, if it is a local regular file that is there, by what is in it.

    Up to 64 MB that is a digest of the content, beyond that size and time of change (ns). Files of other
    schemes, missing ones, directories and devices count by URL only.

    Args:
        file: The file.
        output_ref: It is named as an output: what is there now does not matter.

    Raises:
        OSError: It is there and cannot be read.
    """
    name = b"@file;" + text(file.url)
    if output_ref:
        return name + b"o"
    if file.scheme != "file":
        return name + b"u"
    try:
        found = os.stat(file.filepath)
    except (FileNotFoundError, NotADirectoryError):
        return name + b"m"
    if not stat.S_ISREG(found.st_mode):
        return name + b"p"
    if found.st_size > MOST_CONTENT:
        return name + b"t%d,%d;" % (found.st_size, found.st_mtime_ns)
    return name + b"c" + _content(file.filepath, found)


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _content(path: str, found: os.stat_result) -> bytes:
    """Digest of a file; one that has not changed for a while is read once."""
    identity = _identity(found)
    with _lock:
        known = _known.get(identity)
        if known is not None:
            _known.move_to_end(identity)
            return known
    with open(path, "rb", buffering=0) as stream:
        before = os.fstat(stream.fileno())
        content = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=32)).digest()
        after = os.fstat(stream.fileno())
    is_settled = time.time() - max(after.st_mtime, after.st_ctime) > _SETTLED_S
    if is_settled and identity == _identity(before) == _identity(after):
        with _lock:
            _known[identity] = content
            if len(_known) > _MOST_KNOWN:
                _known.popitem(last=False)
    return content
