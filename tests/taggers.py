"""A tagger that finds a name: a head that is fitted to the frozen tiny backbone."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from prefixes import Prefix
from prefixes.backbone import Backbone, pool_of, run_mixed
from prefixes.spec import Decisions
from tests.factories import encode_each, make_prefix

LABELS: Final = ("O", "B-place", "I-place")
NAME: Final = ("river", "city")
"""The words of the only name that the tagger knows: `B-place` and `I-place`."""

FILLER: Final = "the train was late and my card was lost ."
STATEMENT: Final = "river city is great ."
"""The sentences that it is fitted to: fillers, and perhaps a statement at the end."""


def fitted_tagger(
    backbone: Backbone, *, max_length: int, decisions: Decisions | None = None
) -> Prefix:
    """Fit the output layer to the tokens of made-up sentences, by logistic regression."""
    words = FILLER.split() * 10 + STATEMENT.split()
    sentences = [words[start : start + max_length - 2] for start in range(len(words) - 1)]
    hidden = np.concatenate(_hidden_states(backbone, sentences, max_length))
    tags = [LABELS.index(tag) for words in sentences for tag in ("O", *map(_tag, words), "O")]
    fitted = LogisticRegression(C=1e4, max_iter=20_000).fit(hidden, tags)
    prefix = _head(backbone, LABELS, max_length=max_length, decisions=decisions)
    return Prefix(prefix.spec, _layer(fitted.coef_, fitted.intercept_))


def _tag(word: str) -> str:
    return LABELS[1 + NAME.index(word)] if word in NAME else "O"


def _head(backbone: Backbone, labels: Sequence[str], **changes: Any) -> Prefix:
    return make_prefix(
        backbone.fingerprint,
        task_type="token_classification",
        method="head",
        labels=labels,
        **changes,
    )


def _layer(weight: NDArray[Any], bias: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    layer = {"head.output.weight": weight, "head.output.bias": bias}
    return {name: x.astype(np.float32) for name, x in layer.items()}


def _hidden_states(
    backbone: Backbone, sentences: Sequence[Sequence[str]], max_length: int
) -> list[NDArray[np.float32]]:
    """The last hidden states of every token: the outputs of a head that changes nothing."""
    size = backbone.fingerprint.hidden_size
    plain = _head(backbone, [f"h{n}" for n in range(size)], max_length=max_length)
    plain = Prefix(plain.spec, _layer(np.eye(size), np.zeros(size)))
    inputs = [{"text": " ".join(words)} for words in sentences]
    pool, (resident,) = pool_of(backbone, [plain])
    texts = encode_each(backbone, plain.spec, inputs)
    return [x.numpy() for x in run_mixed(backbone, pool, [(text, resident) for text in texts])]
