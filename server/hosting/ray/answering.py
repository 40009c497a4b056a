"""Answers the calls of ingress replicas with an engine in this process."""

from typing import Any

from prefixes.errors import PrefixError
from prefixes.registry import Database
from server.api.registry_state import see_number
from server.api.services import InferenceEngine
from server.engine.values import InferenceResponse
from server.errors import ServingError
from server.hosting.front_ends.messages import CompactResult, CompactResults, Failure, Reply
from server.hosting.ray.calls import EngineCall


async def answer(call: EngineCall, engine: InferenceEngine, database: Database) -> Reply | Failure:
    """Call a method of the engine. Its errors are values: many cannot be unpickled."""
    try:
        await see_number(call.registry_state, database)
        return Reply(0, await _value(call, engine))
    except (PrefixError, ServingError) as error:
        return Failure.of(0, error)


async def _value(call: EngineCall, engine: InferenceEngine) -> Any:
    value = await getattr(engine, call.method)(**call.arguments)
    return _compact(value, call.known) if isinstance(value, InferenceResponse) else value


def _compact(response: InferenceResponse, known: frozenset[str]) -> CompactResults:
    """Leave out what the ingress has."""
    answers = response.results
    specs = {one.digest: one.spec for one in answers if one.digest not in known}
    compact = [CompactResult.of(one) for one in answers]
    return CompactResults(compact, response.rates, specs, is_fresh=False)
