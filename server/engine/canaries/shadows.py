"""ShadowRunner: runs inputs again with another version, while the device has nothing else to do."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from prefixes.lengths import LengthOptions
from prefixes.template import InputFields
from server.engine.admission import AdmissionControl
from server.engine.input_outcome import InputOutcome
from server.engine.leased_job import LeasedJob
from server.engine.pipeline import Pipeline
from server.errors import DeadlineExceeded, EngineUnavailable, Overloaded
from server.residency.residents import ResidentPrefixes

_TENANT: Final = "shadow runs"
"""All shadows together count as one tenant. No tenant can have this name, because of the space."""
_MAX_WAITING: Final = 256
_TIMEOUT_SECONDS: Final = 10.0
_SECONDS_BETWEEN_LOOKS: Final = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """An input to run again, with what is called with the outcome, the failure, or neither."""

    digest: str
    fields: InputFields
    lengths: LengthOptions
    done: Callable[[InputOutcome], Awaitable[None]]
    failed: Callable[[Exception], None]
    dropped: Callable[[], None]
    expires_at: float


class ShadowRunner:
    """Runs one input at a time while no text is queued. Belongs to the engine's event loop.

    A request never waits for a shadow that has not begun. Shadows that wait for too long, or are
    too many, are dropped.
    """

    def __init__(
        self,
        admission: AdmissionControl,
        residents: ResidentPrefixes,
        pipeline: Pipeline,
        is_idle: Callable[[], bool],
    ) -> None:
        """Set up.

        Args:
            admission: counts the texts in flight.
            residents: the prefixes on the device.
            pipeline: runs the inputs.
            is_idle: returns whether no text waits for the device.
        """
        self._admission = admission
        self._residents = residents
        self._pipeline = pipeline
        self._is_idle = is_idle
        self._waiting: deque[Shadow] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to run shadows on the running event loop."""
        self._task = asyncio.create_task(self._keep_running())

    def stop(self) -> None:
        """Drop all shadows, and run no more."""
        if self._task is not None:
            self._task.cancel()
        self._waiting.clear()

    def deadline(self) -> float:
        """Return the time of the event loop's clock at which a new shadow expires."""
        return asyncio.get_running_loop().time() + _TIMEOUT_SECONDS

    def add(self, shadow: Shadow) -> None:
        """Queue a shadow, or drop it if too many are queued. Never waits."""
        if len(self._waiting) >= _MAX_WAITING or self._task is None or self._task.done():
            shadow.dropped()
            return
        self._waiting.append(shadow)
        self._wake.set()

    async def _keep_running(self) -> None:
        while True:
            await self._wake.wait()
            while self._waiting:
                await self._run_next()
            self._wake.clear()

    async def _run_next(self) -> None:
        clock = asyncio.get_running_loop().time
        # The dispatcher has no event for this.
        while not self._is_idle() and clock() < self._waiting[0].expires_at:  # noqa: ASYNC110
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        shadow = self._waiting.popleft()
        if clock() >= shadow.expires_at:
            shadow.dropped()
            return
        try:
            await shadow.done(await self._run(shadow))
        except (Overloaded, DeadlineExceeded, EngineUnavailable):
            shadow.dropped()
        except Exception as error:  # noqa: BLE001 - whatever fails, the next shadow may succeed
            shadow.failed(error)

    async def _run(self, shadow: Shadow) -> InputOutcome:
        async with self._admission.admit(1, _TIMEOUT_SECONDS, tenant=_TENANT) as admitted:
            lease = await self._residents.lease(shadow.digest)
            job = LeasedJob.of(lease, [0], fields=[shadow.fields], lengths=shadow.lengths)
            return (await self._pipeline.run_leased(admitted, [job]))[0]
