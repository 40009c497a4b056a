"""Occlusion of inputs: the parts that an explanation leaves out, and inputs without them."""

from collections.abc import Mapping, Sequence
from typing import cast

from tokenizers import Encoding

from prefixes.backbone.windows import Cut
from prefixes.encoded import OccludedPart
from prefixes.occlusion import OcclusionOptions, parts_of, without
from prefixes.spec import PrefixSpec
from prefixes.template import Fields, InputFields, TokenIds


def parts_to_leave_out(
    spec: PrefixSpec,
    fields: InputFields,
    options: OcclusionOptions,
    encoding: Encoding,
    cuts: Sequence[Cut] | None,
) -> list[OccludedPart]:
    """List the parts of an input that an explanation leaves out.

    Args:
        spec: description of a sequence classification task.
        fields: the input.
        options: as the caller wrote them.
        encoding: the tokens of the rendered input.
        cuts: which of them are kept; None for all.

    Raises:
        InputRejected: when an option does not fit the task or the input.
    """
    assert not isinstance(fields, TokenIds), "token ids have no words"
    texts = cast(Mapping[str, str], spec.input.named(fields))
    if cuts is None:
        num_read = {name: len(text) for name, text in texts.items()}
    else:
        num_read = spec.input.num_read(texts, _ends(encoding, cuts))
    return parts_of(spec, texts, num_read, options)


def occluded(
    spec: PrefixSpec, fields: Fields, part: OccludedPart, *, max_characters: int
) -> Fields:
    """Leave a part out of an input, and keep only the beginning of the field that had it."""
    named = spec.input.named(fields)
    text = without(str(named[part.field]), (part.start, part.end), max_characters)
    return {**named, part.field: text}


def _ends(encoding: Encoding, cuts: Sequence[Cut]) -> tuple[int, int]:
    """Return how far the kept tokens of the text and of the pair reach, in characters."""
    ends = [0, 0]
    owners, offsets = encoding.sequence_ids, encoding.offsets
    for owner, (_, end) in ((owners[i], offsets[i]) for cut in cuts for i in cut.tokens):
        if owner is not None:
            ends[owner] = max(ends[owner], end)
    return ends[0], ends[1]
