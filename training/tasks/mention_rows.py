"""Reads the mentions of a row: from tokens with tags, or from entities with their characters."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from prefixes.answers.entities import BACKGROUND
from prefixes.characters import whole_characters
from prefixes.encoded import Span
from training.errors import at
from training.examples import Layout
from training.files.rows import Row, RowFile
from training.tasks.cells import read_list
from training.tasks.definition import Problems
from training.tasks.phrases import from_columns
from training.tasks.tag_schemes import bio_of, is_marked, lacks_type, type_of
from training.tasks.tags import Mention, join_tokens, mentions_of

TOKENS: Final = "tokens"
TAGS: Final = "tags"
ENTITIES: Final = "entities"

Mentions = tuple[Mention, ...]


def row_tags(layout: Layout, row: Row) -> list[str]:
    """Return the tags that occur in a row."""
    column = layout.label or (TAGS if TOKENS in row.columns else ENTITIES)
    values = row.columns.get(column)
    if not isinstance(values, list):
        return []
    if TOKENS in row.columns:
        return [tag.strip() for tag in values if isinstance(tag, str)]
    labels = [one.get("label") for one in values if isinstance(one, dict)]
    return [f"B-{label}" for label in labels if isinstance(label, str)]


def tagged_mentions(layout: Layout, row: Row, text: str, problems: Problems) -> Mentions:
    column = layout.label or TAGS
    given = read_list(row, column, problems)
    in_bio = {tag: bio_of(tag.strip(), layout.labels) for tag in given}
    tags = [in_bio[tag] for tag in given]
    spans = join_tokens([x for x in row.columns[TOKENS] if isinstance(x, str)])[1] if tags else []
    if len(tags) != len(spans):
        problems.append(
            row.problem(
                f"{column!r}: expected a tag for each token, found {len(tags)} tags for "
                f"{len(spans)} tokens"
            )
        )
        return ()
    objection = _tag_objection(layout, in_bio)
    if objection is not None:
        problems.append(row.problem(f"{column!r}: {objection}"))
        return ()
    return mentions_of(text, spans, tags)


def _tag_objection(layout: Layout, in_bio: Mapping[str, str]) -> str | None:
    """Describe the first tag that has no type or follows another scheme."""
    has_marks = any(map(is_marked, layout.labels))
    types = {type_of(label) for label in layout.labels}
    for given, tag in in_bio.items():
        if tag in layout.labels:
            continue
        if lacks_type(tag):
            return f"expected tags as O, B-x and I-x, found {given!r:.80}"
        if type_of(tag) not in types and is_marked(tag) != has_marks:
            return (
                "expected tags of one scheme, all with a mark as B-x and I-x or none; to mix them, "
                f"list every tag in `labels`, found {given!r:.80}"
            )
    return None


def given_mentions(layout: Layout, row: Row, text: str, problems: Problems) -> Mentions:
    """Read mentions that are given by their characters. They must not overlap."""
    column = layout.label or ENTITIES
    values = row.columns.get(column)
    if not isinstance(values, list):
        problems.append(
            row.problem(f"{column!r}: expected a list of entities, found {values!r:.80}")
        )
        return ()
    mentions = [_given(text, value) for value in values]
    wrong = [value for value, one in zip(values, mentions, strict=True) if one is None]
    if wrong:
        problems.append(
            row.problem(
                f"{column!r}: expected start, end and label of characters of the text, found "
                f"{wrong[0]!r:.120}"
            )
        )
    found = sorted(one for one in mentions if one is not None)
    for one, other in pairwise(found):
        if other.start < one.end:
            problems.append(row.problem(f"{column!r}: {one} and {other} share characters"))
    return tuple(found)


def _given(text: str, value: Any) -> Mention | None:
    match value:
        case {"start": int(start), "end": int(end), "label": str(label)} if (
            label.strip() and label != BACKGROUND and 0 <= start < end <= len(text)
        ):
            start, end = whole_characters(text, (start, end))
            return Mention(start, end, label) if start < end else None
        case _:
            return None


def mention_roles(layout: Layout, file: RowFile, text: str) -> list[str]:
    """Describe the columns of tokens and tags, or of text and entities. A file may have both."""
    if file.tag_layout is not None:
        return [file.tag_layout]
    has_tokens = {TOKENS in row.columns for row in file.rows}
    tags, entities = (from_columns([layout.label or usual]) for usual in (TAGS, ENTITIES))
    return [
        *([f"tokens {from_columns([TOKENS])}", f"a tag each {tags}"] if True in has_tokens else []),
        *([text, f"entities {entities}"] if False in has_tokens else []),
    ]


def blank_end_warnings(layout: Layout, rows: Sequence[Row]) -> list[str]:
    """Warn about entities with white space at an end."""
    field = layout.template.fields[0]
    lines = [
        row.line
        for row in rows
        for start, end in _given_spans(layout, row)
        if _has_blank_end(row.columns.get(layout.columns.get(field, field)), start, end)
    ]
    if not lines:
        return []
    place = at(rows[0].file, sorted(set(lines)))
    return [f"{len(lines)} entities have white space at an end, which is removed, {place}"]


def _given_spans(layout: Layout, row: Row) -> list[Span]:
    values = row.columns.get(layout.label or ENTITIES)
    if TOKENS in row.columns or not isinstance(values, list):
        return []
    ends = [(one.get("start"), one.get("end")) for one in values if isinstance(one, dict)]
    return [(a, b) for a, b in ends if isinstance(a, int) and isinstance(b, int)]


def _has_blank_end(text: Any, start: int, end: int) -> bool:
    if not isinstance(text, str) or not 0 <= start < end <= len(text):
        return False
    return text[start].isspace() or text[end - 1].isspace()
