"""GoldenCheck: a quantized backbone serves no prefix before its golden examples were replayed."""

import logging
from typing import Final

from torch import Tensor

from prefixes import Finding, PrefixRejected
from prefixes.backbone import Backbone, ResidentPrefix, replay_findings
from prefixes.backbone.replay import golden_outputs

_MAX_REMEMBERED: Final = 100_000
"""Prefixes, and findings about them, that are remembered: some 50 MB at most."""

_log = logging.getLogger(__name__)


class GoldenCheck:
    """Replays a prefix when it first comes to the device, and remembers what came of it.

    Prefixes in the store were accepted in whatever precision the server then ran in. Threads may
    share it.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._findings: dict[str, tuple[Finding, ...]] = {}
        self._num_remembered = 0

    def check_known(self, digest: str) -> None:
        """Raise PrefixRejected for a prefix that was refused before; nobody makes room for it."""
        findings = self._findings.get(digest)
        if findings:
            raise PrefixRejected(findings)

    def __call__(self, digest: str, resident: ResidentPrefix, pool: Tensor) -> None:
        """Replay a prefix that has its slots in a pool, at its first time.

        It takes as long as its examples one after another, some 10 ms each for a small backbone,
        on a thread of its own: the device goes on with other requests, more slowly meanwhile.

        Raises:
            PrefixRejected: naming each example whose outputs drift past the bound.
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
            # GoldenReplay again costs a little time, remembering all memory.
            self._findings.clear()
            self._num_remembered = 0
        self._findings[digest] = findings
        self._num_remembered += 1 + len(findings)
