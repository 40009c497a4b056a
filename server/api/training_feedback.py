"""Trainings on feedback: writes the feedback on a task into the folder of a training."""

from prefixes.disk import disk
from prefixes.errors import PrefixNotFound
from server.api.services import Services
from server.api.training_forms import TrainingForm
from server.errors import FeedbackRejected
from server.feedback.rows import feedback_lines
from server.training_jobs.folders import TrainingFolder


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


def _lines(services: Services, form: TrainingForm) -> list[bytes]:
    most = services.settings.max_training_file_mib * 2**20
    where = (form.job.tenant, form.job.task)
    try:
        return feedback_lines(services.answers, services.sealer, *where, max_bytes=most)
    except PrefixNotFound:  # its first training: there cannot be any
        return []
