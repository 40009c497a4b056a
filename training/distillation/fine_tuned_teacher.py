"""The teacher that is fine-tuned on the rows of the task, before its prefix is trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from prefixes.backbone import Backbone
from training.baselines.fine_tuning import FineTuningRun, learn
from training.data.lessons import Logits
from training.examples import Examples, TaskData
from training.learning.base_run import BaseRun
from training.settings.config import TrainConfig
from training.settings.train_settings import FULL_TEACHER

_SHARED: Final = (
    *("task", "task_type", "problem_type", "train", "labels", "select_by", "seed"),
    *("max_length", "special_tokens", "class_weights", "label_smoothing"),
    *("batch_size", "gradient_accumulation", "epochs", "min_steps", "max_steps"),
    *("evaluate_every", "patience"),
)
"""The settings that a teacher shares with the prefix."""


def teacher_config(config: TrainConfig) -> TrainConfig:
    """Return the settings with which the teacher of a run is fine-tuned."""
    variant = f"{config.variant}/teacher" if config.variant else "teacher"
    shared: dict[str, Any] = {name: getattr(config, name) for name in _SHARED}
    return TrainConfig(
        **shared, variant=variant, method="full", learning_rate=config.teacher_learning_rate
    )


@dataclass(frozen=True, slots=True, eq=False)
class FineTunedTeacher:
    """A model with the best weights of its training."""

    tuning: FineTuningRun
    backbone: Backbone
    name: str = FULL_TEACHER
    sha256: None = None

    @property
    def architecture(self) -> str:
        return type(self.tuning.padded.model).__name__

    def answer(self, examples: Examples[Any]) -> Logits:
        """Answer rows, with the texts that the prefix reads."""
        tuning = self.tuning
        encoded = tuning.definition.encode(self.backbone.texts, tuning.spec, examples)
        return np.stack([values for (values,) in tuning.padded.outputs_of(encoded)])


def fine_tune_teacher(
    config: TrainConfig,
    data: TaskData,
    backbone: Backbone,
    *,
    tokens_per_batch: int,
    watch: Callable[[Sequence[BaseRun]], None],
) -> FineTunedTeacher:
    """Fine-tune the teacher of a run.

    `watch` is called with the run of the teacher at its start and after each step. It may raise
    TrainingStopped.

    Raises:
        TrainingError: when the training of the teacher had no evaluation.
    """
    tuning = FineTuningRun.start(
        teacher_config(config), data, backbone, tokens_per_batch=tokens_per_batch
    )
    tuning.is_teacher = True
    learn(tuning, watch)
    return FineTunedTeacher(tuning, backbone)
