"""The forward pass: a frozen encoder runs a packed batch, each row with its own prefix.

Training and serving share it, so that they compute the same.
"""

from prefixes.backbone.dropout import RowDropout
from prefixes.backbone.encoder import Backbone
from prefixes.backbone.heads import Head, head_outputs
from prefixes.backbone.loading import find_device, load_backbone
from prefixes.backbone.packing import PackedBatch, Row
from prefixes.backbone.replay import replay_findings
from prefixes.backbone.resident import MixedBatch, ResidentPrefix, pool_of, run_mixed
from prefixes.backbone.streams import Streams
from prefixes.backbone.tokens import EncodeJob, TextEncoder
from prefixes.encoded import EncodedInput, EncodedText

__all__ = [
    "Backbone",
    "EncodeJob",
    "EncodedInput",
    "EncodedText",
    "Head",
    "MixedBatch",
    "PackedBatch",
    "ResidentPrefix",
    "Row",
    "RowDropout",
    "Streams",
    "TextEncoder",
    "find_device",
    "head_outputs",
    "load_backbone",
    "pool_of",
    "replay_findings",
    "run_mixed",
]
