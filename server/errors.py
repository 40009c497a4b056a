"""What can be wrong with a request itself, whatever the prefixes it asks for.

    RequestRefused
    |- KeyRequired      an anonymous caller asked for what only a key can show, or do
    |- InvalidKey       a key that was never issued, or is revoked
    |- ModelRequired    no `model` in the request, and no default one
    |- WrongTaskType    a task that the route asked does not answer; the message names the right one
    |- TooManyInputs    more texts than one request may hold
    |- TooManyScores    more scores than one response may hold
    '- BadUpload        a multipart body without the one file it must carry

`server/api/problems.py` alone maps these to status codes.
"""

from typing import ClassVar


class RequestRefused(Exception):
    """Base class. `code` is stable and machine-readable; the message is written for people."""

    code: ClassVar[str] = "request_refused"


class KeyRequired(RequestRefused):
    code = "key_required"


class InvalidKey(RequestRefused):
    code = "invalid_key"


class ModelRequired(RequestRefused):
    code = "model_required"


class WrongTaskType(RequestRefused):
    code = "wrong_task_type"


class TooManyInputs(RequestRefused):
    code = "too_many_inputs"


class TooManyScores(RequestRefused):
    code = "too_many_scores"


class BadUpload(RequestRefused):
    code = "bad_upload"
