"""Opening a database: its URL, and the upgrade of its tables."""

from dataclasses import dataclass
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from prefixes.errors import StoreUnavailable
from prefixes.registry import postgresql
from prefixes.registry.database import Database
from prefixes.registry.sqlite import configure, make_private, sqlite_file

_BACKENDS: Final = frozenset({"sqlite", "postgresql"})


@dataclass(frozen=True, slots=True)
class SchemaRevision:
    """The revision of a database's tables: `found` is None for a database without tables."""

    found: str | None
    newest: str
    is_known: bool

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to upgrade."""
        return self.found == self.newest


def open_database(url: str | URL) -> Database:
    """Open a database by its SQLAlchemy URL and bring its tables up to date.

    Raises:
        StoreUnavailable: when it cannot be opened, or was written by a newer version of this
            program. In the latter case it is left unchanged.
    """
    url = parse_url(url)
    path = sqlite_file(url)
    if path is not None:
        make_private(path)
    database = _connect(url)
    try:
        _upgrade_on_full_disk(database)
    except StoreUnavailable:
        database.close()
        raise
    return database


def read_revision(url: str | URL) -> SchemaRevision | None:
    """Read the revision of a database's tables without an upgrade.

    Returns:
        None for a SQLite file that does not exist. It is not created.

    Raises:
        StoreUnavailable: when the database cannot be opened or read.
    """
    url = parse_url(url)
    path = sqlite_file(url)
    if path is not None and not path.exists():
        return None
    database = _connect(url)
    try:
        return _revision(database)
    finally:
        database.close()


def _connect(url: URL) -> Database:
    try:
        engine = _engine(url)
    except (ArgumentError, ImportError) as error:
        raise _invalid_url(error) from error
    return Database(engine)


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url)
        configure(engine)
    else:
        engine = create_engine(url, **postgresql.engine_options(url))
        postgresql.configure(engine)
    return engine


def parse_url(url: str | URL) -> URL:
    """Parse the SQLAlchemy URL of a database.

    Raises:
        StoreUnavailable: when the URL is not valid.
    """
    try:
        parsed = postgresql.with_driver(make_url(url))
        parsed.get_dialect()
    except (ArgumentError, ModuleNotFoundError) as error:
        raise _invalid_url(error) from error
    except ValueError:  # its text has what stands at the place of the port: part of a password?
        raise _invalid_url("the port is not a number") from None
    name = parsed.get_backend_name()
    if name not in _BACKENDS:  # no other was tested, and each locks in a way of its own
        raise _invalid_url(f"{name} is not supported")
    return parsed


def _invalid_url(reason: object) -> StoreUnavailable:
    return StoreUnavailable(
        f"Invalid database URL: {reason}; expected one whose driver is installed, such as "
        "sqlite:////var/lib/polyprefix/registry.db, or postgresql://user@host/database after "
        "`pip install 'polyprefix[postgres]'`"
    )


def _upgrade_on_full_disk(database: Database) -> None:
    """Upgrade; if the disk is full, give the reserved space back first.

    On a full disk SQLite cannot even read, because it creates the files of its log first.
    """
    try:
        _upgrade(database)
    except StoreUnavailable:
        if not database.use_reserve():
            raise
        _upgrade(database)


def _upgrade(database: Database) -> None:
    revision = _revision(database)
    if revision.is_current:
        return
    if not revision.is_known:
        raise StoreUnavailable(
            f"The database {database.name} has revision {revision.found!r}, which this version of "
            f"polyprefix does not know; it ends at {revision.newest!r}: upgrade polyprefix, or "
            "restore a backup made before the database was upgraded"
        )
    config = _config()
    # If two processes start at once, the second waits here and then finds nothing to do.
    with database.write() as connection:
        if connection.dialect.name == "postgresql":
            postgresql.lift_time_limits(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(database: Database) -> SchemaRevision:
    scripts = ScriptDirectory.from_config(_config())
    newest = scripts.get_current_head()
    assert newest is not None, "the migrations end in one revision"
    with database.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    return SchemaRevision(found, newest, is_known=found is None or found in known)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "prefixes.registry:migrations")
    return config
