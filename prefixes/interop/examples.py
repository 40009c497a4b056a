"""Golden examples of an imported prefix: the user's inputs, with the logits computed here."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from prefixes.backbone import Backbone, pool_of, run_mixed
from prefixes.interop.errors import ConversionRefused
from prefixes.prefix import Prefix
from prefixes.spec import GoldenExample, PrefixSpec


def with_examples(backbone: Backbone, prefix: Prefix, inputs: Sequence[str]) -> Prefix:
    """Add golden examples, which are replayed wherever the prefix is installed.

    Args:
        backbone: the backbone of the prefix.
        prefix: the imported prefix.
        inputs: JSON objects of the task's fields, or texts for a task with one field.

    Raises:
        ConversionRefused: when an input has the wrong form.
        InputRejected: when the fields of an input are not those of the task.
        PrefixRejected: when there are more inputs than a file may have.
    """
    if not inputs:
        return prefix
    fields = [_fields(prefix.spec, text) for text in inputs]
    pool, (resident,) = pool_of(backbone, [prefix])
    golden = []
    for values, texts in zip(fields, backbone.texts.encode(prefix.spec, fields), strict=True):
        outputs = run_mixed(backbone, pool, [(text, resident) for text in texts])
        logits = [number for values in outputs for number in values.flatten().tolist()]
        golden.append(GoldenExample(fields=values, logits=tuple(logits)))
    described = prefix.spec.model_copy(update={"golden": tuple(golden)})
    written = Prefix(described, prefix.tensors).to_bytes()
    return Prefix.from_bytes(written, fits=[backbone.fingerprint])


def _fields(spec: PrefixSpec, text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        if len(spec.input.fields) != 1:
            raise ConversionRefused(
                f"The example {text[:60]!r} is plain text: expected a JSON object with the fields "
                f"{', '.join(spec.input.fields)}"
            )
        return {spec.input.fields[0]: text}
    try:
        fields = json.loads(text)
        return dict(GoldenExample(fields=fields, logits=(0.0,)).fields)
    except (ValueError, ValidationError) as error:
        raise ConversionRefused(
            f"The example {text[:60]!r} is not a JSON object of texts: {str(error)[:200]}"
        ) from error
