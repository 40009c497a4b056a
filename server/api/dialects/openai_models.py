"""GET /v1/models in the shape of OpenAI: the values of `model` that the caller may use."""

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
    "/v1/models", summary="List the models the caller may use", responses=responses(401, 403, 503)
)
async def list_models(services: ServicesDep, caller: CallerDep) -> ModelList:
    """Lists every alias and version of the caller's prefixes and of the prefixes it may use.

    The list has at most 10,000 models, the caller's own first, in the order of their names. For a
    complete list of a tenant, use `/v1/tenants/{tenant}/prefixes`.
    """
    found = await services.read(partial(services.registry.list_prefixes, reader=caller.tenant))
    # Other tenants may share any number of models. They must not displace the caller's own.
    own_first = sorted(found, key=lambda item: item.tenant != caller.tenant)
    # Only the long descriptions of all versions say which of several backbones each one has.
    backbone = services.backbone.name if len(services.backbones) == 1 else None
    cards = itertools.chain.from_iterable(_cards(one, backbone) for one in own_first)
    return ModelList(data=list(itertools.islice(cards, MAX_MODELS)))


@router.get(
    "/v1/models/{model:path}",
    summary="Show a model",
    responses=responses(401, 403, 404, 422, 503),
)
async def show_model(model: str, services: ServicesDep, caller: CallerDep) -> ModelCard:
    """Describes any valid `model`, slashes included. `id` repeats it."""
    ref = PrefixRef.parse(model, default_tenant=caller.tenant)
    version = await services.read(partial(services.registry.version, ref, reader=caller.tenant))
    backbone = services.backbone
    if len(services.backbones) > 1:
        spec = await services.read(partial(services.registry.spec, version.digest))
        backbone = spec.backbone
    return ModelCard(
        id=model,
        created=int(version.created_at.timestamp()),
        owned_by=version.tenant,
        root=str(version.ref),
        parent=backbone.name,
        task_type=version.task_type,
    )


def _cards(item: PrefixSummary, backbone: str | None) -> Iterator[ModelCard]:
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
