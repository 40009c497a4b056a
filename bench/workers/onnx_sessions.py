"""Sessions of ONNX Runtime. This module imports no torch, whose memory would count as theirs."""

from pathlib import Path

import numpy as np
import onnxruntime
from protocol import padded


def session(file: Path, num_threads: int) -> onnxruntime.InferenceSession:
    """Load a model that runs on threads of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    # Its threads would otherwise keep spinning during the turns of others.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def answer(model: onnxruntime.InferenceSession, pad: int, texts: list[list[int]]) -> int:
    """Run a batch of token ids; return the number of texts."""
    ids, mask = (np.array(values, dtype=np.int64) for values in padded(texts, pad))
    return len(model.run(None, {"input_ids": ids, "attention_mask": mask})[0])
