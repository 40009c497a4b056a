"""The one forward pass: a frozen encoder runs a packed batch, each row with its own prefix.

Training and serving both call it, so they cannot drift apart.
"""

from prefixes.backbone.encoder import Backbone
from prefixes.backbone.heads import Head, head_logits
from prefixes.backbone.loading import load_backbone
from prefixes.backbone.packing import PackedBatch, Row
from prefixes.backbone.replay import replay_findings
from prefixes.backbone.resident import MixedBatch, ResidentPrefix, classify, pool_of
from prefixes.backbone.tokens import EncodedText, TextEncoder

__all__ = [
    "Backbone",
    "EncodedText",
    "Head",
    "MixedBatch",
    "PackedBatch",
    "ResidentPrefix",
    "Row",
    "TextEncoder",
    "classify",
    "head_logits",
    "load_backbone",
    "pool_of",
    "replay_findings",
]
