import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from prefixes.errors import StoreUnavailable
from prefixes.registry import PrefixRegistry, open_database, open_registry
from prefixes.registry.sqlite import configure
from prefixes.registry.tables import metadata
from tests.prefixes.conftest import on_sqlite
from tests.prefixes.old_databases import downgrade
from tests.prefixes.publishing import publish


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(
    registry: PrefixRegistry,
) -> None:
    with registry.database.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
        found = inspect(connection)
        names = {
            (table, constraint["name"])
            for table in metadata.tables
            for constraint in found.get_foreign_keys(table)
        }
    assert names == {
        (table.name, key.name)
        for table in metadata.tables.values()
        for key in table.foreign_key_constraints
    }


def test_a_registry_opened_again_still_knows_everything(
    registry: PrefixRegistry, tmp_path: Path, database_url: str | None
) -> None:
    published = publish(registry, "acme", "topic", "one")
    again = open_registry(tmp_path / "registry", database_url=database_url)
    assert again.show("acme", "topic", reader="acme").versions == (published.version,)
    assert again.tenants() == registry.tenants()
    again.close()


@on_sqlite
def test_a_database_from_before_types_were_listed_learns_them(
    registry: PrefixRegistry, tmp_path: Path
) -> None:
    publish(registry, "acme", "old", "one")
    publish(registry, "acme", "newer", "two")
    registry.close()
    path = tmp_path / "registry" / "registry.db"
    downgrade(path, "0001")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE versions SET spec = replace(spec, 'sequence_classification', 'embedding') "
            "WHERE spec LIKE '%two%'"
        )
    connection.close()
    again = open_registry(tmp_path / "registry")
    types = {
        summary.task: [version.task_type for version in summary.versions.values()]
        for summary in again.list_prefixes(reader="acme")
    }
    assert types == {"newer": ["embedding"], "old": ["sequence_classification"]}
    again.close()


def test_the_database_may_lie_elsewhere(tmp_path: Path) -> None:
    registry = open_registry(
        tmp_path / "bytes", database_url=f"sqlite:///{tmp_path}/elsewhere 100%.db"
    )
    registry.close()
    assert (tmp_path / "elsewhere 100%.db").is_file()
    assert not (tmp_path / "bytes" / "registry.db").exists()


@on_sqlite
def test_every_connection_is_durable_checks_references_and_lets_readers_pass(
    registry: PrefixRegistry,
) -> None:
    with registry.database.read() as first, registry.database.read() as second:
        for connection in (first, second):
            pragmas = ("journal_mode", "synchronous", "foreign_keys")
            values = [connection.scalar(text(f"PRAGMA {name}")) for name in pragmas]
            assert values == ["wal", 2, 1]


def test_a_reader_sees_one_state_while_a_writer_changes_it(registry: PrefixRegistry) -> None:
    with registry.database.read() as connection:
        count = text("SELECT count(*) FROM tenants")
        before = connection.scalar(count)
        registry.ensure_tenant("newcomer")
        assert connection.scalar(count) == before
    assert len(registry.tenants()) == before + 1


def test_a_transaction_that_fails_changes_nothing(registry: PrefixRegistry) -> None:
    before = registry.tenants()
    with pytest.raises(ZeroDivisionError), registry.database.write() as connection:
        connection.execute(text("UPDATE tenants SET name = name || '2'")).rowcount // 0
    assert registry.tenants() == before


@on_sqlite
def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    registry: PrefixRegistry, tmp_path: Path
) -> None:
    registry.close()
    path = tmp_path / "registry" / "registry.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreUnavailable, match=r"'9999', which this version.*upgrade polyprefix"):
        open_registry(tmp_path / "registry")
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


def test_a_file_that_is_not_a_database_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_text("a long text, and not a database " * 50)
    with pytest.raises(StoreUnavailable, match=r"registry\.db could not be used.*not a database"):
        open_registry(tmp_path)


def test_a_database_in_a_missing_folder_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        open_database(f"sqlite:///{tmp_path}/missing/registry.db")


@pytest.mark.parametrize("url", ["registry.db", "nosuchdb://localhost/x"])
def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="expected one whose driver is installed"):
        open_database(url)


class OfferedLater(sqlite3.Connection):
    """A connection to a file whose log another process is about to create."""

    num_refusals = 2

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if "journal_mode" in sql and self.num_refusals:
            self.num_refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(sql, *arguments)


def test_a_connection_waits_while_another_process_switches_to_the_log(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"

    engine = create_engine(f"sqlite:///{path}", connect_args={"factory": OfferedLater})
    configure(engine)
    with engine.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    engine.dispose()

    assert mode == "wal"
