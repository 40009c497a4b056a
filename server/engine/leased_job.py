"""LeasedJob: a request's inputs for one prefix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from prefixes.backbone import EncodeJob
from prefixes.encoded import EncodedInput, OccludedPart
from prefixes.lengths import LengthOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.template import InputFields
from server.residency.leases import Lease


@dataclass(frozen=True, slots=True, eq=False)
class LeasedJob:
    """A request's inputs for one prefix, with a lease of it and the inputs' places in the request.

    `encode_job.inputs` has the same order as `places`.
    """

    lease: Lease
    places: Sequence[int]
    encode_job: EncodeJob

    @classmethod
    def of(
        cls,
        lease: Lease,
        places: Sequence[int],
        *,
        fields: Sequence[InputFields],
        lengths: LengthOptions,
        explain: OcclusionOptions | None = None,
    ) -> Self:
        """Select the inputs at `places` from the fields of all inputs of a request.

        Only sequence classification has explanations; `explain` is ignored for other tasks.
        """
        spec = lease.resident.spec
        inputs = [fields[place] for place in places]
        if spec.task_type != "sequence_classification":
            explain = None
        return cls(lease, places, EncodeJob(spec, inputs, lengths, explain=explain))

    def occluded(self, texts: Mapping[int, EncodedInput]) -> "LeasedJob":
        """Return a job that runs each input without each of its parts.

        A part without which no text would remain is omitted.

        Args:
            texts: the encoded inputs by place, with the parts that are to be left out.
        """
        inputs: list[InputFields] = []
        places: list[int] = []
        left_out: list[OccludedPart] = []
        for place, fields in zip(self.places, self.encode_job.inputs, strict=True):
            parts = [part for part in texts[place][0].occluded_parts if not part.is_all]
            inputs += [fields] * len(parts)
            places += [place] * len(parts)
            left_out += parts
        job = EncodeJob(self.encode_job.spec, inputs, self.encode_job.lengths, left_out=left_out)
        return LeasedJob(self.lease, places, job)
