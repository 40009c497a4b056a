"""GoldenCheck: replays the golden examples of every prefix that a quantized backbone serves."""

import logging
from typing import Final

from torch import Tensor

from prefixes import Finding, PrefixRejected
from prefixes.backbone import Backbone, ResidentPrefix, replay_findings
from prefixes.backbone.replay import golden_outputs

_MAX_REMEMBERED: Final = 100_000
"""Maximum number of prefixes and findings in memory, about 50 MB."""

_log = logging.getLogger(__name__)


class GoldenCheck:
    """Replays a prefix when it is first loaded, and remembers the findings.

    The server may have accepted the prefixes in the store while it ran in another precision.
    Thread-safe.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._findings: dict[str, tuple[Finding, ...]] = {}
        self._num_remembered = 0

    def check_known(self, digest: str) -> None:
        """Raise PrefixRejected if the prefix was rejected before; saves reading it again."""
        findings = self._findings.get(digest)
        if findings:
            raise PrefixRejected(findings)

    def __call__(self, digest: str, resident: ResidentPrefix, pool: Tensor) -> None:
        """Replay a prefix that was placed into the pool, unless it was replayed before.

        The examples run one after another on a loader thread, about 10 ms each for a small
        backbone. Meanwhile the device runs other requests more slowly.

        Raises:
            PrefixRejected: when outputs differ too much; has a finding for each such example.
        """
        if digest in self._findings:
            self.check_known(digest)
            return
        outputs = golden_outputs(self._backbone, pool, resident)
        findings = replay_findings(resident.spec, outputs, self._backbone.precision)
        self._remember(digest, findings)
        if findings:
            error = PrefixRejected(findings)
            _log.warning("prefix %s is not served on the quantized backbone: %s", digest, error)
            raise error

    def _remember(self, digest: str, findings: tuple[Finding, ...]) -> None:
        if self._num_remembered >= _MAX_REMEMBERED:
            # Replaying again costs little time. Keeping everything would use up the memory.
            self._findings.clear()
            self._num_remembered = 0
        self._findings[digest] = findings
        self._num_remembered += 1 + len(findings)
