"""Tag schemes: tags of IOB1, IOB2, BIOES, BILOU and BMES, in any spelling, as tags of BIO."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from prefixes.answers.entities import BACKGROUND

_IN_BIO: Final = MappingProxyType(
    {**dict.fromkeys("BSUW", "B"), **dict.fromkeys("IELM", "I")}  # W and M are of BMEW and BMES
)
_PREFIXED: Final = re.compile(r"(?P<mark>[BIESLUMW])[\W_](?P<type>.*\S)", re.IGNORECASE)
_SUFFIXED: Final = re.compile(r"(?P<type>.*\S)[\W_](?P<mark>[BIESLUMW])", re.IGNORECASE)
_SPELLINGS: Final = (_PREFIXED, _SUFFIXED)
_USUAL: Final = ("B-", "I-")


def is_marked(tag: str) -> bool:
    """Return whether a tag is `B-x` or `I-x`, the spelling of prefix files."""
    return tag.startswith(_USUAL)


def type_of(tag: str) -> str:
    """Remove `B-` or `I-` from a tag. A tag without them is a type."""
    return tag[2:] if is_marked(tag) else tag


def lacks_type(tag: str) -> bool:
    """Return whether a tag has no type: `B-`, `B`, or an empty tag."""
    return not type_of(tag).strip() or tag.upper() in _IN_BIO


def in_bio(counts: Mapping[str, int]) -> dict[str, str]:
    """Return the BIO tag for each tag of the scheme that most of these tags follow.

    `B-x` and `I-x` are always tags. Any other spelling counts only if a type has both a first and
    a further tag, or if several types have the same mark: `VITAMIN-B` alone is a type, and so are
    `E-mail` and `S-Bahn`.

    Args:
        counts: how often each tag occurs.

    Returns:
        An empty dictionary if tags are types without marks.
    """
    tags = {tag: count for tag, count in counts.items() if not is_background(tag)}
    for spelling in _SPELLINGS:
        read = {tag: bio for tag in tags if (bio := _read(spelling, tag)) is not None}
        covers_most = 2 * sum(map(tags.__getitem__, read)) >= sum(tags.values())
        if covers_most and (any(map(is_marked, read)) or _is_scheme(read)):
            return read
    return {}


def _is_scheme(read: Mapping[str, str]) -> bool:
    """Return whether tags in an unusual spelling are more than a coincidence."""
    firsts = {type_of(bio) for bio in read.values() if bio.startswith("B-")}
    others = {type_of(bio) for bio in read.values() if bio.startswith("I-")}
    has_own_marks = all(bio[0] in (tag[0] + tag[-1]).upper() for tag, bio in read.items())
    return bool(firsts & others) or (has_own_marks and max(len(firsts), len(others)) > 1)


def is_background(tag: str) -> bool:
    return tag.upper() == BACKGROUND


def is_respelled(tag: str, bio: str) -> bool:
    """Return whether the spelling of a tag differs from published schemes, apart from the mark."""
    return tag != bio and (tag[1:] != bio[1:] or tag[0].islower())


def bio_of(tag: str, labels: Container[str]) -> str:
    """Convert a tag in any spelling to BIO, unless it is a label of the task."""
    if tag in labels:
        return tag
    if is_background(tag):
        return BACKGROUND
    for spelling in _SPELLINGS:
        bio = _read(spelling, tag)
        if bio is not None and (f"B-{type_of(bio)}" in labels or f"I-{type_of(bio)}" in labels):
            return bio
    return tag


def given_tags(labels: Iterable[str]) -> tuple[str, ...] | None:
    """Read labels of the user as tags. Return None if they are names of types."""
    names = tuple(dict.fromkeys(labels))
    tags = [name for name in names if not is_background(name)]
    read = in_bio(Counter(tags))
    if len(read) < len(tags):
        return names if BACKGROUND in names else None
    if not read:
        return names
    has_background = len(tags) < len(names)
    found = (read.get(name, BACKGROUND) for name in names)
    return tuple(dict.fromkeys(found if has_background else (BACKGROUND, *found)))


def all_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags of a task in which these occur: `O` first, then those of each type."""
    found = set(tags) - {BACKGROUND}
    plain = {tag for tag in found if not is_marked(tag)}
    types = sorted({type_of(tag) for tag in found})
    each = [[name] if name in plain else [f"B-{name}", f"I-{name}"] for name in types]
    return (BACKGROUND, *(tag for tags_of_type in each for tag in tags_of_type))


def tags_of_task(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return the tags of a task in whose rows these tags occur.

    Either most tags have a mark, or most have none. The others are omitted, and reading their rows
    reports a problem.
    """
    read = in_bio(counts)
    plain = (tag for tag in counts if not (is_marked(tag) or lacks_type(tag)))
    return all_tags(read.values() if read else (bio_of(tag, ()) for tag in plain))


def _read(spelling: re.Pattern[str], tag: str) -> str | None:
    found = spelling.fullmatch(tag)
    return found and f"{_IN_BIO[found['mark'].upper()]}-{found['type']}"
