"""URLs of databases: which kinds serve, and sentences about them that hold no password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

EXAMPLES = "sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
INSTALL = "pip install 'gibbsian[sweep,storage]'"


class StorageError(ValueError):
    """A database that cannot be used, in a sentence without its password."""


class StorageURL:
    """A parsed ``--storage``; ``str`` of it shows neither password nor options.

    Raises StorageError for what is no URL, another kind of database than SQLite and PostgreSQL, and
    a driver that is missing.
    """

    def __init__(self, text: str):
        try:
            import sqlalchemy
        except ImportError as error:
            raise ImportError(f"--storage needs a database library: {INSTALL}") from error
        try:
            self.url: Any = sqlalchemy.make_url(text)
        except (sqlalchemy.exc.ArgumentError, ValueError):
            raise StorageError(f"--storage is not a URL such as {EXAMPLES}") from None
        if "@" in f"{self.url.host}{self.url.database if self.url.host else ''}":
            raise StorageError("--storage has an @ too many; one in a password is written %40")
        self.text, self.kind = text, self.url.get_backend_name()
        if self.kind not in ("sqlite", "postgresql"):
            raise StorageError(f"--storage is of the kind {self.kind!r}; use {EXAMPLES}")
        database = self.url.database or ""
        if self.kind == "sqlite" and (database in ("", ":memory:") or database[:5] == "file:"):
            raise StorageError("--storage names no SQLite file; write sqlite:///FILE")
        if self.kind == "sqlite" and not Path(database).parent.is_dir():
            raise StorageError(f"--storage {self}: there is no folder {Path(database).parent}")
        self._check_driver(sqlalchemy)

    def __str__(self) -> str:
        return str(self.url.set(query={}).render_as_string())

    def __repr__(self) -> str:
        return f"StorageURL({self})"

    @property
    def has_secret(self) -> bool:
        """Whether a password is in it, or options, which may hold one."""
        return bool(self.url.password or self.url.query)

    @property
    def lock_file(self) -> Path:
        """Beside a SQLite file."""
        return Path(f"{self.url.database}.lock")

    @property
    def connection(self) -> dict[str, Any]:
        """Arguments of a connection: a machine that is gone is noticed within a minute."""
        if self.kind == "sqlite":
            return {"timeout": 60}
        if not self.url.get_driver_name().startswith("psycopg"):
            return {}
        return dict(
            connect_timeout=10, keepalives_idle=30, keepalives_interval=10, keepalives_count=3
        )

    def cleared(self, words: object) -> str:
        """The first line of ``words`` without what is secret in the URL."""
        first = next((line.strip() for line in str(words).splitlines() if line.strip()), "")
        secrets = [self.url.password, *self.url.query.values()]
        for secret in secrets:
            for text in secret if isinstance(secret, tuple) else (secret,):
                first = first.replace(str(text), "***") if text else first
        return first.removesuffix(".")

    def _check_driver(self, sqlalchemy: Any) -> None:
        try:
            self.url.get_dialect().import_dbapi()
        except sqlalchemy.exc.NoSuchModuleError:
            raise StorageError(
                f"--storage names an unknown driver ({self.url.drivername}); use {EXAMPLES}"
            ) from None
        except ImportError as error:
            raise StorageError(
                f"--storage needs the driver {error.name}, which is not installed: {INSTALL} and "
                f"write {EXAMPLES}"
            ) from None
