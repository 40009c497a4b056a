"""Settings of feedback: the keys that encrypt stored texts, and limits for tenants."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from server.feedback.sealing import find_key_problem
from server.settings.lists import items_of


def _check_keys(keys: SecretStr | None) -> SecretStr | None:
    """Return the keys if they can be used, else raise ValueError."""
    problem = find_key_problem(_keys_of(keys))
    if problem is not None:
        raise ValueError(problem)
    return keys


def _keys_of(keys: SecretStr | None) -> Sequence[str]:
    return () if keys is None else tuple(items_of(keys.get_secret_value()))


class FeedbackSettings(BaseModel):
    """How the recorded answers of tenants that opt in are stored."""

    feedback_keys: Annotated[SecretStr | None, AfterValidator(_check_keys)] = Field(
        default=None,
        description="Keys that encrypt recorded texts and feedback, separated by commas, as "
        "`polyprefix feedback generate-key` prints them. The first one encrypts, all decrypt. "
        "Unset: texts are stored as they are.",
    )
    max_feedback_days: float = Field(
        default=90.0,
        gt=0,
        le=3650,
        description="Maximum time in days for which a tenant may keep recorded answers.",
    )
    max_feedback_mib_per_tenant: int = Field(
        default=256,
        ge=1,
        le=1_048_576,
        description="Maximum size of the recorded answers of one tenant, in MiB. The oldest "
        "answers without feedback are removed first.",
    )

    @property
    def feedback_key_list(self) -> Sequence[str]:
        """The keys in `feedback_keys`. Pass them on, and never print them."""
        return _keys_of(self.feedback_keys)
