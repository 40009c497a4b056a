import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest

from prefixes import Prefix, PrefixRef, digest_of
from prefixes.errors import (
    InvalidName,
    PrefixNotFound,
    PrefixRejected,
    StoreUnavailable,
    TenantNotFound,
    VersionInUse,
)
from prefixes.local_store import LocalStore
from prefixes.registry import Actor, ListedVersion, PrefixRegistry, PrefixSummary, Target
from prefixes.staging import StagedBlob
from tests.prefixes.publishing import publish, tiny_prefix

REF = PrefixRef("acme", "topic", alias="live")


def listed(created_at: datetime) -> ListedVersion:
    return ListedVersion(created_at, "sequence_classification")


class PowerCut(BaseException):
    """The machine stops."""


class StoreOnFailingPower(LocalStore):
    """A store on a machine that stops right after bytes became durable."""

    def commit(self, staged: StagedBlob) -> None:
        super().commit(staged)
        raise PowerCut


class FullStore(LocalStore):
    """A store whose disk takes uploads but has no room left to keep them."""

    def commit(self, staged: StagedBlob) -> None:
        raise StoreUnavailable("the disk is full")


class StoreMeetingAPublisher(LocalStore):
    """A store where somebody publishes the same bytes just when they are to be deleted."""

    def meet(self, publisher: Thread) -> None:
        self.publisher = publisher

    def delete(self, digest: str) -> None:
        self.publisher.start()
        self.publisher.join(timeout=0.3)  # as far as it gets
        super().delete(digest)


def at(number: int, task: str = "topic", tenant: str = "acme") -> PrefixRef:
    return PrefixRef(tenant, task, version=number)


def blob_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*/*/*") if path.is_file()]


def test_a_published_version_is_there_with_its_bytes_and_its_description(
    registry: PrefixRegistry,
) -> None:
    before = datetime.now(UTC)
    published = publish(registry, "acme", "topic", "first", by="ada")
    data = tiny_prefix("first").to_bytes()
    version = published.version
    assert published.is_new
    assert (version.tenant, version.task, version.number) == ("acme", "topic", 1)
    assert (version.digest, version.size_bytes) == (digest_of(data), len(data))
    assert version.created_by == "ada"
    assert before <= version.created_at <= datetime.now(UTC)
    assert registry.store.get(version.digest) == data
    assert registry.spec(version.digest) == tiny_prefix("first").spec
    assert registry.version(version.ref, reader="acme") == version


def test_versions_count_up_per_task_and_the_first_goes_live(registry: PrefixRegistry) -> None:
    numbers = [publish(registry, "acme", "topic", text).version.number for text in ("a", "b", "c")]
    assert numbers == [1, 2, 3]
    assert publish(registry, "acme", "mood", "a").version.number == 1
    assert registry.version(REF, reader="acme").number == 1


def test_publishing_under_an_alias_moves_it_and_leaves_live_where_it_is(
    registry: PrefixRegistry,
) -> None:
    publish(registry, "acme", "topic", "a", alias="next")
    publish(registry, "acme", "topic", "b", alias="next")
    (summary,) = registry.list_prefixes(reader="acme")
    assert summary.aliases == {"live": 1, "next": 2}


def test_publishing_the_same_bytes_again_gives_the_version_they_have(
    registry: PrefixRegistry,
) -> None:
    first = publish(registry, "acme", "topic", "a", by="ada")
    publish(registry, "acme", "topic", "b", alias="live")
    again = publish(registry, "acme", "topic", "a", alias="live", by="bob")
    assert not again.is_new
    assert again.version == first.version
    assert registry.version(REF, reader="acme") == first.version
    assert publish(registry, "acme", "topic", "c").version.number == 3


def test_publishing_the_same_bytes_again_mends_a_damaged_blob(
    registry: PrefixRegistry, tmp_path: Path
) -> None:
    digest = publish(registry, "acme", "topic", "a").version.digest
    (blob,) = blob_files(tmp_path)
    blob.write_bytes(b"rotten")
    publish(registry, "acme", "topic", "a")
    assert digest_of(registry.store.get(digest)) == digest


def test_an_upload_that_is_no_prefix_leaves_no_trace(
    registry: PrefixRegistry, tmp_path: Path
) -> None:
    def upload() -> None:
        with registry.store.stage() as staged:
            staged.write(b"certainly not a safetensors file")
            prefix = Prefix.from_bytes(staged.read())
            registry.publish("acme", "topic", staged, prefix, by=Actor("ada"))

    with pytest.raises(PrefixRejected):
        upload()
    assert blob_files(tmp_path) == []
    assert registry.list_prefixes(reader="acme") == ()


@pytest.mark.parametrize(
    ("tenant", "task", "alias", "error"),
    [
        pytest.param("nobody", "topic", None, TenantNotFound, id="unknown tenant"),
        pytest.param("acme", "../topic", None, InvalidName, id="bad task"),
        pytest.param("acme", "topic", "17", InvalidName, id="alias that reads as a version"),
    ],
)
def test_a_refused_publication_leaves_no_trace(
    registry: PrefixRegistry,
    tmp_path: Path,
    tenant: str,
    task: str,
    alias: str | None,
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        publish(registry, tenant, task, "a", alias=alias)
    assert blob_files(tmp_path) == []
    assert registry.list_prefixes(reader="acme") == ()
    assert publish(registry, "acme", "topic", "a").version.number == 1


def test_a_crash_between_bytes_and_row_leaves_nothing_visible_and_sweeping_tidies_up(
    registry: PrefixRegistry, tmp_path: Path
) -> None:
    kept = publish(registry, "acme", "topic", "kept").version
    dying = PrefixRegistry(registry.database, StoreOnFailingPower(tmp_path / "registry"))
    with pytest.raises(PowerCut):
        publish(dying, "acme", "topic", "lost", alias="live")
    assert registry.show("acme", "topic", reader="acme").versions == (kept,)
    assert registry.version(REF, reader="acme") == kept
    assert len(registry.store.digests()) == 2
    assert registry.sweep(older_than_seconds=0) == 1
    assert registry.store.digests() == {kept.digest}
    assert publish(registry, "acme", "topic", "lost").version.number == 2


def test_a_store_that_is_full_fails_the_publication_alone(
    registry: PrefixRegistry, tmp_path: Path
) -> None:
    kept = publish(registry, "acme", "topic", "kept").version
    full = PrefixRegistry(registry.database, FullStore(tmp_path / "registry"))
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        publish(full, "acme", "topic", "lost", alias="live")
    assert registry.show("acme", "topic", reader="acme").versions == (kept,)
    assert registry.version(REF, reader="acme") == kept


def test_sweeping_spares_young_leftovers_and_all_versions(
    registry: PrefixRegistry, tmp_path: Path
) -> None:
    version = publish(registry, "acme", "topic", "a").version
    staging = tmp_path / "registry" / "staging"
    (staging / "young").write_bytes(b"half")
    (staging / "old").write_bytes(b"half")
    os.utime(staging / "old", (0, 0))
    assert registry.sweep() == 1
    assert [path.name for path in staging.iterdir()] == ["young"]
    assert registry.store.digests() == {version.digest}


def test_references_of_every_kind_resolve_at_once(registry: PrefixRegistry) -> None:
    first = publish(registry, "acme", "topic", "a").version
    second = publish(registry, "acme", "topic", "b", alias="next").version
    mood = publish(registry, "acme", "mood", "a").version
    public = publish(registry, "examples", "topic", "a").version
    expected = {
        REF: first,
        at(1): first,
        at(2): second,
        PrefixRef("acme", "topic", alias="next"): second,
        PrefixRef("acme", "mood", alias="live"): mood,
        PrefixRef("examples", "topic", alias="live"): public,
    }
    targets = {ref: Target(version) for ref, version in expected.items()}
    assert registry.resolve([*expected, REF], reader="acme") == targets
    assert registry.resolve([], reader="acme") == {}


def test_an_alias_resolves_to_where_it_points_now(registry: PrefixRegistry) -> None:
    publish(registry, "acme", "topic", "a")
    assert registry.version(REF, reader="acme").number == 1
    publish(registry, "acme", "topic", "b", alias="live")
    assert registry.version(REF, reader="acme").number == 2


@pytest.mark.parametrize("reader", ["globex", "nobody", None])
def test_somebody_elses_prefix_reads_exactly_like_one_that_is_not_there(
    registry: PrefixRegistry, reader: str | None
) -> None:
    publish(registry, "acme", "topic", "a")
    for ref in (REF, at(1)):
        with pytest.raises(PrefixNotFound) as theirs:
            registry.resolve([ref], reader=reader)
        missing = PrefixRef("acme", "nosuch", version=ref.version, alias=ref.alias)
        with pytest.raises(PrefixNotFound) as nowhere:
            registry.resolve([missing], reader=reader)
        assert str(theirs.value) == str(nowhere.value).replace("nosuch", "topic")
    with pytest.raises(PrefixNotFound) as shown:
        registry.show("acme", "topic", reader=reader)
    with pytest.raises(PrefixNotFound) as not_shown:
        registry.show("acme", "nosuch", reader=reader)
    assert str(shown.value) == str(not_shown.value).replace("nosuch", "topic")
    assert registry.list_prefixes(reader=reader) == ()
    assert registry.list_prefixes(reader=reader, tenant="acme") == ()


@pytest.mark.parametrize("reader", ["acme", "examples", None])
def test_everybody_reads_the_prefixes_of_a_public_tenant(
    registry: PrefixRegistry, reader: str | None
) -> None:
    version = publish(registry, "examples", "topic", "a").version
    assert registry.version(at(1, tenant="examples"), reader=reader) == version
    assert registry.show("examples", "topic", reader=reader).versions == (version,)
    assert registry.list_prefixes(reader=reader) == (
        PrefixSummary("examples", "topic", {1: listed(version.created_at)}, {"live": 1}),
    )


def test_one_unknown_reference_fails_all_and_every_unknown_one_is_named(
    registry: PrefixRegistry,
) -> None:
    publish(registry, "acme", "topic", "a")
    refs = [REF, at(9), PrefixRef("acme", "topic", alias="nosuch")]
    with pytest.raises(PrefixNotFound, match=r"acme/topic:nosuch, acme/topic@9;"):
        registry.resolve(refs, reader="acme")


def test_references_asked_together_do_not_lend_each_other_their_parts(
    registry: PrefixRegistry,
) -> None:
    publish(registry, "acme", "topic", "a", alias="next")
    publish(registry, "examples", "mood", "a")
    crossed = [
        PrefixRef("examples", "mood", alias="next"),
        PrefixRef("acme", "topic", alias="live"),
    ]
    with pytest.raises(PrefixNotFound, match="examples/mood:next;"):
        registry.resolve(crossed, reader="acme")


def test_a_description_is_gone_with_its_last_version(registry: PrefixRegistry) -> None:
    digest = publish(registry, "acme", "topic", "a").version.digest
    registry.remove_prefix("acme", "topic")
    with pytest.raises(PrefixNotFound, match=digest):
        registry.spec(digest)


def test_a_reader_lists_their_own_and_public_tasks_in_order_of_name(
    registry: PrefixRegistry,
) -> None:
    times = {
        (tenant, task): publish(registry, tenant, task, "1").version.created_at
        for tenant, task in [("examples", "b"), ("acme", "z"), ("acme", "a"), ("globex", "a")]
    }
    later = publish(registry, "acme", "a", "2", alias="next").version.created_at
    own = (
        PrefixSummary(
            "acme", "a", {1: listed(times["acme", "a"]), 2: listed(later)}, {"live": 1, "next": 2}
        ),
        PrefixSummary("acme", "z", {1: listed(times["acme", "z"])}, {"live": 1}),
    )
    public = (PrefixSummary("examples", "b", {1: listed(times["examples", "b"])}, {"live": 1}),)
    assert registry.list_prefixes(reader="acme") == own + public
    assert registry.list_prefixes(reader="acme", tenant="acme") == own
    assert registry.list_prefixes(reader="acme", tenant="examples") == public
    assert registry.list_prefixes(reader=None) == public


def test_a_deleted_version_is_gone_with_its_bytes_and_its_number_never_comes_back(
    registry: PrefixRegistry,
) -> None:
    publish(registry, "acme", "topic", "a")
    last = publish(registry, "acme", "topic", "b").version
    registry.remove_version("acme", "topic", 2)
    with pytest.raises(PrefixNotFound):
        registry.version(last.ref, reader="acme")
    assert last.digest not in registry.store.digests()
    again = publish(registry, "acme", "topic", "b")
    assert again.is_new
    assert again.version.number == 3


def test_a_version_that_aliases_point_to_is_not_deleted(registry: PrefixRegistry) -> None:
    version = publish(registry, "acme", "topic", "a", alias="next").version
    with pytest.raises(
        VersionInUse, match=r"acme/topic@1 .*: the alias live, the alias next; point"
    ):
        registry.remove_version("acme", "topic", 1)
    assert registry.store.get(version.digest)


def test_bytes_that_another_task_has_too_stay_when_one_is_deleted(
    registry: PrefixRegistry,
) -> None:
    digest = publish(registry, "acme", "topic", "a").version.digest
    publish(registry, "globex", "topic", "a")
    registry.remove_prefix("acme", "topic")
    assert registry.store.get(digest)
    assert registry.spec(digest).description == "a"
    registry.remove_prefix("globex", "topic")
    assert registry.store.digests() == frozenset()


def test_bytes_published_while_they_are_being_deleted_are_there_afterwards(
    registry: PrefixRegistry, tmp_path: Path
) -> None:
    digest = publish(registry, "acme", "topic", "a").version.digest
    store = StoreMeetingAPublisher(tmp_path / "registry")
    publisher = Thread(target=publish, args=(registry, "globex", "topic", "a"))
    store.meet(publisher)
    PrefixRegistry(registry.database, store).remove_prefix("acme", "topic")
    publisher.join()
    assert registry.version(at(1, tenant="globex"), reader="globex").digest == digest
    assert digest_of(registry.store.get(digest)) == digest


def test_a_deleted_task_is_gone_and_its_numbers_never_come_back(registry: PrefixRegistry) -> None:
    for text in ("a", "b"):
        publish(registry, "acme", "topic", text, alias="live")
    other = publish(registry, "acme", "mood", "a").version
    registry.remove_prefix("acme", "topic")
    assert registry.store.digests() == {other.digest}
    assert [summary.task for summary in registry.list_prefixes(reader="acme")] == ["mood"]
    with pytest.raises(PrefixNotFound):
        registry.remove_prefix("acme", "topic")
    assert publish(registry, "acme", "topic", "a").version.number == 3
    (alias,) = registry.show("acme", "topic", reader="acme").aliases
    assert (alias.version, len(alias.moves)) == (3, 1)


@pytest.mark.parametrize("number", [-1, 0, 2, 10**9, 10**30])
def test_deleting_a_version_that_is_not_there_says_so(
    registry: PrefixRegistry, number: int
) -> None:
    publish(registry, "acme", "topic", "a")
    with pytest.raises(PrefixNotFound, match=f"acme/topic@{number};"):
        registry.remove_version("acme", "topic", number)


def test_tenants_are_made_once_found_by_name_and_listed_in_order(
    registry: PrefixRegistry,
) -> None:
    made = registry.ensure_tenant("zeta", is_public=True)
    assert (made.name, made.is_public) == ("zeta", True)
    assert registry.ensure_tenant("zeta", is_public=True) == made
    assert registry.tenant("zeta") == made
    assert [tenant.name for tenant in registry.tenants()] == ["acme", "examples", "globex", "zeta"]


def test_a_tenant_turns_public_and_private_as_last_said(registry: PrefixRegistry) -> None:
    publish(registry, "acme", "topic", "a")
    registry.ensure_tenant("acme", is_public=True)
    assert registry.version(REF, reader=None).number == 1
    registry.ensure_tenant("acme", is_public=False)
    with pytest.raises(PrefixNotFound):
        registry.version(REF, reader=None)


def test_a_tenant_that_is_unknown_or_misnamed_is_refused(registry: PrefixRegistry) -> None:
    with pytest.raises(TenantNotFound, match="'nobody'"):
        registry.tenant("nobody")
    with pytest.raises(InvalidName, match="tenant name"):
        registry.ensure_tenant("No/Body")


def test_many_threads_publish_and_resolve_at_once(registry: PrefixRegistry) -> None:
    publish(registry, "acme", "topic", "0", alias="newest")

    def work(number: int) -> int:
        version = publish(registry, "acme", "topic", f"{number}", alias="newest").version
        assert registry.version(version.ref, reader="acme") == version
        newest = registry.version(PrefixRef("acme", "topic", alias="newest"), reader="acme")
        assert newest.number >= version.number
        return version.number

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(work, range(1, 21)))
    assert sorted(numbers) == list(range(2, 22))
    assert len(registry.show("acme", "topic", reader="acme").versions) == 21


def test_the_bytes_of_a_version_are_read_by_its_digest(registry: PrefixRegistry) -> None:
    version = publish(registry, "acme", "topic", "first").version
    assert digest_of(registry.read(version.digest)) == version.digest


def test_bytes_of_a_version_that_was_deleted_meanwhile_are_not_found(
    registry: PrefixRegistry,
) -> None:
    version = publish(registry, "acme", "topic", "first").version
    registry.remove_prefix("acme", "topic")
    with pytest.raises(PrefixNotFound, match="deleted meanwhile"):
        registry.read(version.digest)


def test_bytes_that_are_missing_though_a_version_has_them_are_the_stores_fault(
    registry: PrefixRegistry,
) -> None:
    version = publish(registry, "acme", "topic", "first").version
    registry.store.delete(version.digest)
    with pytest.raises(StoreUnavailable, match=version.digest):
        registry.read(version.digest)


def test_an_example_for_everybody_is_the_first_public_task_by_name(
    registry: PrefixRegistry,
) -> None:
    publish(registry, "acme", "a-private-one", "first")
    assert registry.public_example() is None
    registry.ensure_tenant("commons", is_public=True)
    for task in ("topic", "spam"):
        publish(registry, "commons", task, task)
    registry.remove_prefix("commons", "spam")
    publish(registry, "commons", "tone", "tone")
    example = registry.public_example()
    assert example == PrefixRef("commons", "tone", alias="live")
    assert registry.version(example, reader=None).number == 1
