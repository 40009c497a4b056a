"""Token classification: the entities of a text, trained as one tag per word."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from prefixes import InputTemplate, PrefixSpec
from prefixes.answers import find_entities
from prefixes.answers.entities import BACKGROUND
from prefixes.backbone import EncodedInput
from prefixes.characters import is_blank
from training.errors import few
from training.examples import Examples, Input, Layout, TaskData
from training.files.rows import Row, RowFile
from training.settings.config import TrainConfig
from training.tasks.cells import read_list, read_texts
from training.tasks.definition import Outputs, Piece, Problems, TaskDefinition
from training.tasks.entity_scores import entity_f1, has_roles, role_f1, score_entities
from training.tasks.losses import IGNORED, PLAIN, LossSettings, tag_losses
from training.tasks.mention_rows import (
    ENTITIES,
    TOKENS,
    Mentions,
    blank_end_warnings,
    given_mentions,
    mention_roles,
    row_tags,
    tagged_mentions,
)
from training.tasks.metrics import Measurement
from training.tasks.phrases import counted, texts
from training.tasks.tag_schemes import (
    all_tags,
    bio_of,
    given_tags,
    is_background,
    is_marked,
    is_respelled,
    tags_of_task,
    type_of,
)
from training.tasks.tags import (
    Mention,
    join_tokens,
    snap,
    tag_targets,
    unaligned_mentions,
)
from training.tasks.unaligned_spans import UnalignedSpan
from training.tasks.words import first_tags, tags_of_words, word_mentions

_MEMBERS: Final = ("start", "end", "label", "text", "score")


class TokenClassification(TaskDefinition[Mentions]):
    """Texts with `entities`, or `tokens` with `tags`. Tokens are joined with spaces.

    Either way, a text is tokenized as in serving.
    """

    points_into_text = True
    span_noun = "entities"
    answer_unit = "word"
    alignment_remedy = (
        "only whole words are found, so these count as wrong. Correct start and end, or set "
        "snap_to_words to extend them to whole words"
    )

    def template(self, config: TrainConfig, present: Container[str]) -> InputTemplate:
        """Return the unchanged text, with an optional second text as context of the tags."""
        return InputTemplate(text_pair=config.pair_template)

    def labels(self, layout: Layout, rows: Iterable[Row]) -> tuple[str, ...]:
        """Return the given tags, or the tags of the types that were given or occur."""
        if not layout.labels:
            return tags_of_task(Counter(tag for row in rows for tag in row_tags(layout, row)))
        types = (label for label in layout.labels if not is_background(label))
        return given_tags(layout.labels) or all_tags(f"B-{name}" for name in types)

    def read_input(self, layout: Layout, row: Row, problems: Problems) -> Input:
        """Read the text of a row, or join its tokens."""
        if TOKENS not in row.columns:
            return super().read_input(layout, row, problems)
        tokens = read_list(row, TOKENS, problems)
        if tokens and is_blank("".join(tokens)):
            problems.append(row.problem(f"{TOKENS!r}: expected text, found empty tokens"))
        field, *others = layout.template.fields
        columns = {name: layout.columns[name] for name in others}
        return {field: join_tokens(tokens)[0], **read_texts(row, columns, problems)}

    def read_truth(self, layout: Layout, row: Row, fields: Input, problems: Problems) -> Mentions:
        """Read the mentions of a row's text."""
        text = str(fields.get(layout.template.fields[0], ""))
        if TOKENS in row.columns:
            found = tagged_mentions(layout, row, text, problems)
        else:
            found = given_mentions(layout, row, text, problems)
        types = {type_of(label) for label in layout.labels}
        unknown = sorted({one.label for one in found} - types)
        if unknown:
            problems.append(
                row.problem(f"the label {unknown[0][:80]!r} is not one of the task's labels")
            )
        return found

    def column_roles(self, layout: Layout, file: RowFile, truths: Sequence[Mentions]) -> list[str]:
        counts = self.label_counts(layout.labels, truths) or {}
        types = counted([name for name, count in counts.items() if count], "entity type")
        text, *others = texts(layout)
        return [*mention_roles(layout, file, text), *others, types]

    def row_warnings(self, layout: Layout, rows: Sequence[Row]) -> list[str]:
        """Warn about unusual tags, types that look like tags, and white space in entities."""
        tags = dict.fromkeys(tag for row in rows for tag in row_tags(layout, row))
        read = {tag: bio_of(tag, layout.labels) for tag in tags}
        unusual = [f"{tag!r} as {bio!r}" for tag, bio in read.items() if is_respelled(tag, bio)]
        types = dict.fromkeys(type_of(label) for label in layout.labels)
        marked = [repr(name) for name in types if is_marked(name)]
        return [
            *([f"tags are read as BIO: {few(unusual)}"] if unusual else []),
            *(
                [f"entity types that look like tags: {few(marked)}: label whole entities"]
                if marked
                else []
            ),
            *blank_end_warnings(layout, rows),
        ]

    def objection(self, truths: Sequence[Mentions]) -> str | None:
        """Reject rows without any entity."""
        return None if any(truths) else "no row has an entity: expected at least one"

    def stratum(self, truth: Mentions) -> tuple[Any, ...]:
        return tuple(sorted({one.label for one in truth}))

    def labels_in(self, labels: Sequence[str], truth: Mentions) -> set[str]:
        return {one.label for one in truth}

    def label_counts(
        self, labels: Sequence[str], truths: Sequence[Mentions]
    ) -> Mapping[str, int] | None:
        """Count the entities of each type."""
        counts = Counter(one.label for truth in truths for one in truth)
        types = dict.fromkeys(type_of(label) for label in labels if label != BACKGROUND)
        return {label: counts[label] for label in types}

    def description(self, config: TrainConfig, data: TaskData) -> dict[str, Any]:
        return {"labels": data.labels}

    def pieces(self, spec: PrefixSpec, truth: Mentions, encoded: EncodedInput) -> list[Piece]:
        (text,) = encoded
        return [Piece(encoded, torch.tensor(tag_targets(spec.labels, truth, text)))]

    def num_spans(self, truth: Mentions) -> int:
        return len(truth)

    def unaligned_spans(self, truth: Mentions, encoded: EncodedInput) -> list[UnalignedSpan]:
        """Return entities that do not begin and end with words of the tokenizer."""
        (text,) = encoded
        return unaligned_mentions(truth, text)

    def snapped(self, truth: Mentions, encoded: EncodedInput) -> Mentions:
        """Extend entities to whole words. If two then share a word, keep the first."""
        (text,) = encoded
        return snap(truth, text)

    def loss(
        self,
        spec: PrefixSpec,
        outputs: Sequence[Sequence[Tensor]],
        targets: Sequence[Tensor],
        settings: LossSettings = PLAIN,
    ) -> Tensor:
        """Sum the losses of all tokens that have a tag."""
        logits = torch.cat([values for (values,) in outputs])
        return tag_losses(logits, torch.cat(list(targets)).to(logits.device), settings).sum()

    def weight(self, target: Tensor) -> float:
        """Return the number of tokens with a tag. The mean is over these, as in P-tuning v2."""
        return float((target != IGNORED).sum())

    def measure(
        self,
        spec: PrefixSpec,
        examples: Examples[Mentions],
        encoded: Sequence[EncodedInput],
        outputs: Sequence[Outputs],
    ) -> Measurement:
        """Measure entities as served. Truncated entities count as missed."""
        rows = list(zip(examples.inputs, examples.truths, encoded, outputs, strict=True))
        found = [
            {
                Mention(one["start"], one["end"], one["label"])
                for one in self.answer(spec, fields, texts, logits)[ENTITIES]
            }
            for fields, _, texts, logits in rows
        ]
        is_right = [
            logits.argmax(axis=-1)[tags != IGNORED] == tags[tags != IGNORED]
            for _, truth, (text,), (logits,) in rows
            for tags in [np.array(tag_targets(spec.labels, truth, text))]
        ]
        accuracy = np.concatenate(is_right).mean()
        measured = score_entities(found, examples.truths, token_accuracy=float(accuracy))
        in_words = _word_mentions(spec, examples, encoded, outputs)
        others = {"word_entity_f1": entity_f1(*in_words)}
        if has_roles(spec.labels):
            others["role_f1"] = role_f1(*in_words)
        return replace(measured, metrics={**measured.metrics, **others})

    def answer(
        self, spec: PrefixSpec, fields: Input, encoded: EncodedInput, outputs: Outputs
    ) -> dict[str, Any]:
        """Return the `entities` of a text in order, each with label, text and score."""
        text = str(fields[spec.input.fields[0]])
        entities = find_entities(spec, text, encoded[0], outputs[0])
        return {ENTITIES: [{name: getattr(one, name) for name in _MEMBERS} for one in entities]}


def _word_mentions(
    spec: PrefixSpec,
    examples: Examples[Mentions],
    encoded: Sequence[EncodedInput],
    outputs: Sequence[Outputs],
) -> tuple[list[Mentions], list[Mentions]]:
    """Return mentions of whole words between spaces. A word has the tag of its first token.

    seqeval counts this way for P-tuning v2, whose rows are words: a full stop at the end of a word
    is not a word of its own.

    Returns:
        The predicted and the true mentions of each text.
    """
    texts = [str(fields[spec.input.fields[0]]) for fields in examples.inputs]
    found = [
        word_mentions(text, first_tags(text, one, [spec.labels[n] for n in logits.argmax(axis=-1)]))
        for text, (one,), (logits,) in zip(texts, encoded, outputs, strict=True)
    ]
    true = [
        word_mentions(text, tags_of_words(text, truth))
        for text, truth in zip(texts, examples.truths, strict=True)
    ]
    return found, true
