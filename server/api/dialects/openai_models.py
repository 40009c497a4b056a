"""GET /v1/models: what the caller may write in `model`, as OpenAI's clients list it."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Final

from fastapi import APIRouter, Depends

from prefixes import PrefixRef
from prefixes.registry import PrefixSummary
from server.api.dependencies import AuthenticatedRoute, CallerDep, ServicesDep, bearer
from server.api.dialects.openai_schemas import ModelCard, ModelList
from server.api.problem_responses import responses

router = APIRouter(
    route_class=AuthenticatedRoute, tags=["compatible"], dependencies=[Depends(bearer)]
)

MAX_MODELS: Final = 10_000


@router.get(
    "/v1/models", summary="List the models the caller may use", responses=responses(401, 503)
)
async def list_models(services: ServicesDep, caller: CallerDep) -> ModelList:
    """Every alias and every version of the caller's prefixes and of the public ones.

    At most 10,000, in the order of their names; a tenant's own list is complete.
    """
    found = await services.read(partial(services.registry.list_prefixes, reader=caller.tenant))
    cards = itertools.chain.from_iterable(_cards(item, services.backbone.name) for item in found)
    return ModelList(data=list(itertools.islice(cards, MAX_MODELS)))


@router.get(
    "/v1/models/{model:path}",
    summary="Show a model",
    responses=responses(401, 404, 422, 503),
)
async def show_model(model: str, services: ServicesDep, caller: CallerDep) -> ModelCard:
    """Whatever `model` may say in a request, also with a slash; `id` repeats it."""
    ref = PrefixRef.parse(model, default_tenant=caller.tenant)
    version = await services.read(partial(services.registry.version, ref, reader=caller.tenant))
    return ModelCard(
        id=model,
        created=int(version.created_at.timestamp()),
        owned_by=version.tenant,
        root=str(version.ref),
        parent=services.backbone.name,
        task_type=version.task_type,
    )


def _cards(item: PrefixSummary, backbone: str) -> Iterator[ModelCard]:
    targets = {PrefixRef(item.tenant, item.task, alias=a): n for a, n in item.aliases.items()}
    targets |= {PrefixRef(item.tenant, item.task, version=n): n for n in item.versions}
    for ref, number in targets.items():
        yield ModelCard(
            id=str(ref),
            created=int(item.versions[number].created_at.timestamp()),
            owned_by=item.tenant,
            root=str(PrefixRef(item.tenant, item.task, version=number)),
            parent=backbone,
            task_type=item.versions[number].task_type,
        )
