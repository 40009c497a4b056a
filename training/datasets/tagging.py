"""Named entities of CoNLL and OntoNotes, and predicates with their semantic roles."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from training.datasets.dataset import Columns, Dataset, Form, Hub, Reader, Template, renamed
from training.datasets.text_files import conll_columns, srl_lines

_ONTONOTES: Final = (
    *("CARDINAL", "DATE", "EVENT", "FAC", "GPE", "LANGUAGE", "LAW", "LOC", "MONEY", "NORP"),
    *("ORDINAL", "ORG", "PERCENT", "PERSON", "PRODUCT", "QUANTITY", "TIME", "WORK_OF_ART"),
)
_CONLL04: Final = ("Loc", "Peop", "Org", "Other")
_CONLL03: Final = ("PER", "ORG", "LOC", "MISC")
_PLAIN: Final = Form(("tokens", "tags"), renamed())
_BARE: Final = Form(("tokens",), renamed())
"""Tokens without tags, for prediction."""


def _numbered(labels: Sequence[str]) -> Form:
    """Read tags that are numbers or names, as on the hub."""

    def convert(columns: Columns) -> Iterable[Columns]:
        tags = [
            labels[tag] if isinstance(tag, int) and 0 <= tag < len(labels) else tag
            for tag in columns["ner_tags"]
        ]
        return [{"tokens": columns["tokens"], "tags": tags}]

    return Form(("tokens", "ner_tags"), convert)


def _entities(columns: Columns) -> Iterable[Columns]:
    """Convert entities, given as token ranges from `start` to before `end`, to tags."""
    tags = ["O"] * len(columns["tokens"])
    for one in columns["entities"]:
        match one:
            case {"start": int(start), "end": int(end), "type": str(label)} if (
                0 <= start < end <= len(tags)
            ):
                tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
            case found:
                raise ValueError(f"'entities': expected start, end and type, found {found!r:.80}")
    return [{"tokens": columns["tokens"], "tags": tags}]


def _ner(
    name: str,
    labels: tuple[str, ...],
    files: Mapping[str, Sequence[str]],
    *,
    forms: Sequence[Form] = (),
    hub: Hub | None = None,
    token: int = 0,
) -> Dataset:
    columns = conll_columns(token)
    return Dataset(
        name=f"ner/{name}",
        task_type="token_classification",
        forms=(_PLAIN, *forms, _BARE),
        splits=MappingProxyType({part: part for part in files}),
        files={part: (*names, f"{part}.jsonl") for part, names in files.items()},
        fields={"labels": labels},
        hub=hub,
        readers=MappingProxyType({".txt": columns, ".conllx": columns}),
        label="tags",
    )


def predicate_phrase(words: Sequence[str], place: int) -> str:
    """Return a phrase that identifies the predicate: the word itself, if it occurs once.

    A word that occurs several times is named by the shortest run of words that ends in it and
    occurs once, else by the run from the beginning of the text. So each name is unique.
    """
    for start in range(place, -1, -1):
        run = list(words[start : place + 1])
        size = len(run)
        if sum(list(words[at : at + size]) == run for at in range(len(words) - size + 1)) == 1:
            return " ".join(run)
    return " ".join(words[: place + 1])


def _with_predicate(columns: Columns) -> Iterable[Columns]:
    words, place = columns["tokens"], columns["predicate_index"]
    rest = {name: value for name, value in columns.items() if name != "predicate_index"}
    return [{**rest, "predicate": predicate_phrase(words, place)}]


def _srl(name: str, files: Mapping[str, Sequence[str]], reader: Reader) -> Dataset:
    return Dataset(
        name=f"srl/{name}",
        task_type="token_classification",
        forms=(
            Form(("tokens", "predicate_index"), _with_predicate),
            Form(("tokens", "predicate"), renamed()),
        ),
        splits=MappingProxyType({part: part for part in files}),
        files={part: (*names, f"{part}.jsonl") for part, names in files.items()},
        fields={},
        templates=(Template("{text}", "{predicate}"),),
        readers=MappingProxyType({".txt": reader}),
        label="tags",
    )


def _begin_inside(types: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{side}-{label}" for label in types for side in "BI")


def _begins_then_insides(types: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{side}-{label}" for side in "BI" for label in types)


_CONLL03_TAGS: Final = ("O", *_begin_inside(_CONLL03))


def _texts(**stems: str) -> dict[str, tuple[str, ...]]:
    return {part: (stem,) for part, stem in stems.items()}


TAGGING: Final[tuple[Dataset, ...]] = (
    _ner(
        "conll2003",
        _CONLL03_TAGS,
        {"train": ("train.txt",), "validation": ("valid.txt",), "test": ("test.txt",)},
        forms=[_numbered(_CONLL03_TAGS)],
        hub=Hub("lhoestq/conll2003"),
    ),
    _ner(
        "conll2004",
        ("O", *_begins_then_insides(_CONLL04)),
        {"train": ("train.txt",), "validation": ("dev.txt",), "test": ("test.txt",)},
        forms=[Form(("tokens", "entities"), _entities)],
        hub=Hub("DFKI-SLT/conll04"),
    ),
    _ner(
        "ontonotes",
        (*_begins_then_insides(_ONTONOTES), "O"),
        _texts(train="train.sd.conllx", validation="dev.sd.conllx", test="test.sd.conllx"),
        token=1,
    ),
    _srl(
        "conll2005",
        _texts(
            train="conll05.train.txt",
            validation="conll05.devel.txt",
            test_wsj="conll05.test.wsj.txt",
            test_brown="conll05.test.brown.txt",
        ),
        srl_lines(),
    ),
    _srl(
        "conll2012",
        _texts(
            train="conll2012.train.txt",
            validation="conll2012.devel.txt",
            test="conll2012.test.txt",
        ),
        srl_lines(),
    ),
)
"""The tagging datasets of the original. Role tags are inferred, because their list is long."""
