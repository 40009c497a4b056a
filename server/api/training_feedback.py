"""Trainings on feedback: writes the feedback on a task into the folder of a training."""

from functools import partial
from typing import Any

from prefixes import PrefixRef, PrefixSpec
from prefixes.disk import disk
from prefixes.errors import PrefixNotFound
from prefixes.names import DEFAULT_ALIAS
from prefixes.registry import Actor
from server.api.services import Services
from server.api.training_forms import TrainingForm
from server.api.training_queue import queue_training
from server.api.training_schemas import path_of
from server.errors import FeedbackRejected
from server.feedback.rows import feedback_lines
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.records import JobRequest


def add_feedback(services: Services, form: TrainingForm, folder: TrainingFolder) -> None:
    """Write the feedback as the form says: in addition to the uploaded rows, or in their place.

    Raises:
        FeedbackRejected: when the task has no feedback, and the training uses nothing else.
        FeedbackUnreadable: when a row of it cannot be decrypted.
        StoreUnavailable: when the disk fails.
    """
    if form.feedback == "none":
        return
    lines = _lines(services, form)
    if not lines and form.feedback == "only":
        raise FeedbackRejected(
            f"The task {form.job.tenant}/{form.job.task} has no feedback. Send some with POST "
            "/v1/feedback, or send a `file`."
        )
    if not lines:
        return
    part = "train" if form.feedback == "only" else "feedback"
    path = folder.path / f"{part}.jsonl"
    with disk("write rows of feedback to", path):
        path.write_bytes(b"".join(lines))


async def start_on_feedback(
    services: Services, ref: PrefixRef, spec: PrefixSpec, actor: Actor
) -> str:
    """Start a training on the feedback of a task alone, and return its path.

    The settings of the training are defaults, with the task type and the texts of the version.

    Raises:
        FeedbackRejected: when the task has no feedback.
        Overloaded, LimitExceeded, QuotaExceeded: when the tenant may not start a training.
    """
    job = JobRequest(ref.tenant, ref.task, ref.alias or DEFAULT_ALIAS, 0.0, _config_of(spec))

    async def fill(folder: TrainingFolder) -> JobRequest:
        await services.write(folder.make)
        await services.read(partial(add_feedback, services, TrainingForm(job, "only"), folder))
        return job

    return path_of(await queue_training(services, ref.tenant, fill, by=actor))


def _config_of(spec: PrefixSpec) -> dict[str, Any]:
    """Return the settings of a training that follow from what the task is."""
    kind = {} if spec.problem_type is None else {"problem_type": spec.problem_type}
    pair = {} if spec.input.text_pair is None else {"pair_template": spec.input.text_pair}
    # Another method may be a wish of the tenant, such as a prefix for PEFT.
    method = {"method": spec.method} if spec.method in {"prefix", "prompt"} else {}
    return {"task_type": spec.task_type, **kind, **method, "template": spec.input.text, **pair}


def _lines(services: Services, form: TrainingForm) -> list[bytes]:
    most = services.settings.max_training_file_mib * 2**20
    where = (form.job.tenant, form.job.task)
    try:
        return feedback_lines(services.answers, services.sealer, *where, max_bytes=most)
    except PrefixNotFound:  # its first training: there cannot be any
        return []
