"""Golden examples of an imported prefix: inputs that its owner gives, with the logits here."""

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
        backbone: the prefix's own.
        prefix: what was imported.
        inputs: each a JSON object of the task's fields, or text for a task that takes one field.

    Raises:
        ConversionRefused: when an input is not of the form that the task takes.
        InputRejected: when its fields are not those of the task.
        PrefixRejected: when there are more than a file takes.
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
    return Prefix.from_bytes(written, fits=backbone.fingerprint)


def _fields(spec: PrefixSpec, text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        if len(spec.input.fields) != 1:
            raise ConversionRefused(
                f"The example {text[:60]!r} is bare text: expected a JSON object of "
                f"{', '.join(spec.input.fields)}"
            )
        return {spec.input.fields[0]: text}
    try:
        fields = json.loads(text)
        return dict(GoldenExample(fields=fields, logits=(0.0,)).fields)
    except (ValueError, ValidationError) as error:
        raise ConversionRefused(
            f"The example {text[:60]!r} is no JSON object of texts: {str(error)[:200]}"
        ) from error
