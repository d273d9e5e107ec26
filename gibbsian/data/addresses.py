"""Files at an address, ``https://…`` or ``s3://…``: fetched by fsspec to a copy that is read as any file.

Copies lie in the user's cache, one for each version that the store tells of.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gibbsian.core.paths import roots
from gibbsian.core.text import one_line
from gibbsian.data.decoding import SUFFIXES
from gibbsian.data.readers import ENDINGS

# fmt: off
PROTOCOLS = (
    "http", "https", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "hf", "hdfs", "webhdfs", "ftp",
    "sftp", "ssh", "smb", "oci", "oss", "memory",
)
# fmt: on
"""Stores that hold plain files; fsspec has others, which unpack, join or render what they find."""
VERSIONS = (
    "ETag", "etag", "Content-MD5", "Digest", "md5Hash", "content_md5", "Last-Modified", "LastModified",
    "last_modified", "mtime", "modified", "updated", "created", "VersionId",
)  # fmt: skip
"""What stores tell about a file that is another one once its content is."""
ERRORS = (OSError, ValueError, RuntimeError, TypeError, LookupError)
"""What stores raise for files, names and answers that they cannot make sense of."""
OTHER_ERRORS = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
    ("paramiko", "SSHException"),
    ("httpx", "HTTPError"),
)
CONNECT, READ = 30, 60
"""Seconds until a web server must answer, and between parts of what it sends."""
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]+)://.")


def is_address(name: str) -> bool:
    """Whether ``name`` is an address, not a path: ``https://example.org/x.csv``."""
    return _ADDRESS.match(name) is not None


@contextmanager
def fetched(source: str | Path) -> Iterator[Path]:
    """The file at ``source``: its copy where that is an address.

    A ValueError within the block speaks of the address as it was typed. Raises ValueError, one sentence,
    where it cannot be fetched.
    """
    if not is_address(address := str(source)):
        yield Path(source)
        return
    path = local_copy(address)
    try:
        yield path
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), address)) from error


@functools.cache
def local_copy(address: str) -> Path:
    """The path of a copy of the file at ``address``, or of the Parquet files of the folder there.

    Fetched at most once by a process, which so works with one version. Raises ValueError, one sentence: for a
    store that fsspec lacks or cannot reach, no such file, one of a kind that is not read.
    """
    protocol = _protocol(address)
    name = _file_name(address, protocol)
    is_file = name.lower().endswith((*ENDINGS, ".zip", *SUFFIXES))
    if not is_file and protocol in ("http", "https"):
        raise ValueError(
            f"{address} has no ending by which its kind is known; name a file that ends in .csv, .parquet, "
            ".npy or the like, or download it"
        )
    store, place = _opened(address, protocol)
    by_name = is_file and not name.lower().endswith(".parquet")  # which folders may be called too
    if by_name or protocol in ("http", "https") or not _told(address, store.isdir, place):
        if not is_file:
            _told(address, store.info, place)
            raise _no_table(address)
        return _copy(address, store, {name: place}, name) / name
    entries = _told(address, functools.partial(store.ls, detail=False), place)
    names = {entry.rstrip("/").rpartition("/")[2]: entry for entry in map(str, entries)}
    parts = {
        part: entry
        for part, entry in sorted(names.items())
        if part.lower().endswith(".parquet") and not part.startswith((".", "_"))
    }
    if not parts:
        raise _no_table(address)
    return _copy(address, store, parts, name)


def _no_table(address: str) -> ValueError:
    return ValueError(
        f"{address} is no file that can be read and no folder of .parquet files; images of a folder can be "
        "given as one .zip"
    )


def _protocol(address: str) -> str:
    found = _ADDRESS.match(address)
    protocol = "" if found is None else found[1].lower()
    if "::" in address:
        raise ValueError(
            f"{address} is a chain of stores, which is not followed; name the file itself"
        )
    if protocol == "file":
        raise ValueError(f"{address} is on this machine: give its path, {urlsplit(address).path}")
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"{address} is an address of a kind that is not read; use https://, s3://, gs://, az:// or "
            "hf://, or download it"
        )
    return protocol


def _file_name(address: str, protocol: str) -> str:
    """What the file is called, without what a web address has behind a question mark."""
    path = unquote(urlsplit(address).path) if protocol in ("http", "https") else address
    name = path.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.+ -]", "_", one_line(name)).lstrip(".")[-100:] or "data"


def _opened(address: str, protocol: str) -> tuple[Any, str]:
    """The store that ``address`` is in, and the place there."""
    try:
        import fsspec
    except ImportError as error:
        raise ValueError(
            f"{address} is an address, which takes fsspec: pip install 'gibbsian[remote]', or download the "
            "file"
        ) from error
    options: dict[str, Any] = {}
    if protocol in ("http", "https"):
        try:
            import aiohttp
        except ImportError as error:
            raise ValueError(
                f"{address} takes aiohttp: pip install 'gibbsian[remote]', or download the file"
            ) from error
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=READ)
        options = {"client_kwargs": {"timeout": timeout}}
    try:
        return fsspec.url_to_fs(address, **options)
    except ImportError as error:
        said = one_line(str(error))
        raise ValueError(
            f"{address} takes another package of fsspec's ({said}); install it, or download the file"
        ) from error
    except ERRORS as error:
        raise _unreachable(address, error) from error


def _told(address: str, ask: Callable[..., Any], *arguments: Any) -> Any:
    """What a store says when asked; ValueError for whatever it raises, each store its own kind."""
    errors = _errors_of_stores()
    try:
        return ask(*arguments)
    except FileNotFoundError as error:
        cause = error.__cause__  # of a web address whatever went wrong
        if isinstance(cause, Exception) and getattr(cause, "status", 0) not in (404, 410):
            raise _unreachable(address, cause) from error
        raise ValueError(f"{address} does not exist; check the address") from error
    except errors as error:
        raise _unreachable(address, error) from error


def _errors_of_stores() -> tuple[type[Exception], ...]:
    """``ERRORS``, and what the packages that are loaded raise of their own."""
    loaded = ((sys.modules.get(module), name) for module, name in OTHER_ERRORS)
    found = (getattr(module, name, None) for module, name in loaded if module is not None)
    return (*ERRORS, *(error for error in found if isinstance(error, type)))


def _unreachable(address: str, error: Exception) -> ValueError:
    said = one_line(str(error).strip()) or type(error).__name__
    return ValueError(
        f"{address} cannot be fetched ({said[:300]}); check the address and the network"
    )


def _copy(address: str, store: Any, places: dict[str, str], name: str) -> Path:
    """The folder with copies of the files at ``places``; of one version, so that nothing is fetched twice."""
    known = {part: _told(address, store.info, place) for part, place in places.items()}
    versions = [[str(info.get(key)) for key in ("size", *VERSIONS)] for info in known.values()]
    is_known = all(any(info.get(key) for key in VERSIONS) for info in known.values())
    folder = roots()[-1] / "remote" / _digest(address)
    whole = folder / _digest(str([list(places), versions]))
    is_folder = list(places) != [name]
    if is_known and whole.is_dir():
        return whole / name if is_folder else whole
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder, prefix="part-"))
        inside = made / name if is_folder else made
        inside.mkdir(exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{address} finds no place for a copy in {folder} ({error.strerror or error}); set "
            "XDG_CACHE_HOME to a folder that can be written"
        ) from error
    try:
        for part, place in places.items():
            _told(address, store.get_file, place, str(inside / part))
            size, found = known[part].get("size"), (inside / part).stat().st_size
            if size is not None and size != found:
                raise ValueError(f"{address} came as {found} of {size} bytes; try again")
        if is_known:
            with suppress(OSError):  # where another process was first
                made.rename(whole)
                return whole / name if is_folder else whole
    except ValueError:
        shutil.rmtree(made, ignore_errors=True)
        raise
    atexit.register(shutil.rmtree, made, ignore_errors=True)  # no other process can know it
    return inside


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
