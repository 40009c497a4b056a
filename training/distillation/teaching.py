"""Teaching: gets the lessons of all runs of a plan, before their prefixes are trained."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prefixes.backbone import Backbone
from prefixes.backbone.precision import dtype_name
from training.data.lessons import Lessons
from training.distillation.fine_tuned_teacher import fine_tune_teacher, teacher_config
from training.distillation.folder_teacher import FolderTeacher, digest_of_folder
from training.distillation.teacher import Progress, Teacher, give_lessons
from training.examples import TaskData
from training.learning.base_run import BaseRun
from training.learning.learner import describe_fitting
from training.settings.config import TrainConfig
from training.settings.train_settings import FULL_TEACHER, PATH_FIELDS


def teacher_digests(configs: Sequence[TrainConfig]) -> dict[str, str]:
    """Return what identifies each teacher: `full`, or the digest of its folder.

    Raises:
        PlanRejected: when a folder cannot be read.
    """
    names = dict.fromkeys(config.teacher for config in configs)
    return {
        name: FULL_TEACHER if name == FULL_TEACHER else digest_of_folder(Path(name))
        for name in names
        if name is not None
    }


@dataclass(frozen=True, slots=True)
class TeacherWatch:
    """Callbacks for the time while teachers work. There is no checkpoint yet.

    `steps` takes the run of a teacher that is fine-tuned, at its start and after each step, and
    `answers` the progress of a teacher that answers rows. Both may raise TrainingStopped.
    """

    steps: Callable[[Sequence[BaseRun]], None]
    answers: Progress


UNWATCHED: Final = TeacherWatch(lambda _: None, lambda _, __: None)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Teaching:
    """Gets lessons, and keeps them in a folder, so that a teacher is not trained twice."""

    backbone: Backbone
    folder: Path
    digests: Mapping[str, str]
    tokens_per_batch: int
    watch: TeacherWatch

    def lessons(
        self, configs: Sequence[TrainConfig], data: Sequence[TaskData], *, resume: bool
    ) -> list[Lessons | None]:
        """Return the lessons of each run, None for a run without a teacher.

        With `resume`, lessons of an earlier process are used. Runs with the same teacher and rows
        share their lessons.

        Raises:
            TrainingError: when a teacher cannot be used, or its training had no evaluation.
            StoreUnavailable: when the lessons cannot be written.
        """
        given: dict[str, Lessons] = {}
        found: list[Lessons | None] = []
        for config, rows in zip(configs, data, strict=True):
            if config.teacher is None:
                found.append(None)
                continue
            key = self._key(config, rows)
            if key not in given:
                given[key] = self._lessons_of(config, rows, key, resume=resume)
            found.append(given[key])
        return found

    def _lessons_of(
        self, config: TrainConfig, data: TaskData, key: str, *, resume: bool
    ) -> Lessons:
        path = self.folder / f"{key}.safetensors"
        saved = Lessons.load(path) if resume else None
        if saved is not None:
            return saved
        spec = describe_fitting(config, data, self.backbone)
        lessons = give_lessons(self._teacher(config, data), spec, data, self.watch.answers)
        self.folder.mkdir(parents=True, exist_ok=True)
        lessons.save(path)
        return lessons

    def _teacher(self, config: TrainConfig, data: TaskData) -> Teacher:
        assert config.teacher is not None
        if config.teacher != FULL_TEACHER:
            spec = describe_fitting(config, data, self.backbone)
            return FolderTeacher.load(Path(config.teacher), spec, self.backbone)
        return fine_tune_teacher(
            config,
            data,
            self.backbone,
            tokens_per_batch=self.tokens_per_batch,
            watch=self.watch.steps,
        )

    def _key(self, config: TrainConfig, data: TaskData) -> str:
        """Return the digest of everything that determines the answers of a teacher."""
        assert config.teacher is not None
        settings: dict[str, Any] = {"max_length": config.max_length}
        if config.teacher == FULL_TEACHER:
            settings = teacher_config(config).model_dump(
                mode="json", exclude={*PATH_FIELDS, "variant"}
            )
        facts = {
            "teacher": self.digests[config.teacher],
            "settings": settings,
            "data": data.sha256,
            "rows": [len(data.train), len(data.unlabeled or ())],
            "labels": data.labels,
            "template": data.template.model_dump(),
            "backbone": self.backbone.fingerprint.weights_sha256,
            "tokenizer": self.backbone.fingerprint.tokenizer_sha256,
            "dtype": dtype_name(self.backbone.dtype),
        }
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
