"""The role that each route needs, and the check of it before a body is read.

Routes of `VISIBLE` need no role: the registry decides which prefixes a caller sees.
"""

from collections.abc import Mapping
from typing import Any, Final

from prefixes.registry import ROLES, Role
from prefixes.registry.lookup import not_found
from prefixes.registry.tenants import no_tenant
from prefixes.registry.webhook_rows import no_webhook
from server.api.auth import Caller
from server.errors import KeyRequired, RoleRequired, TrainingNotFound

VISIBLE: Final = frozenset({
    "POST /v1/classify",
    "POST /v1/token-classification",
    "POST /v1/question-answering",
    "POST /v1/multiple-choice",
    "POST /v1/predict",
    "POST /v1/embeddings",
    "POST /models/{tenant}/{task}",
    "POST /predict",
    "POST /embed",
    "POST /",
    "GET /info",
    "POST /classify",
    "POST /v2/models/{model:model}/infer",
    "POST /v2/models/{model:model}/versions/{version}/infer",
    "GET /v2/models/{model:model}",
    "GET /v2/models/{model:model}/ready",
    "GET /v2/models/{model:model}/versions/{version}",
    "GET /v2/models/{model:model}/versions/{version}/ready",
    "POST /v2/repository/index",
    "GET /label-studio/{tenant}/{task}/health",
    "POST /label-studio/{tenant}/{task}/setup",
    "POST /label-studio/{tenant}/{task}/predict",
    "GET /v1/models",
    "GET /v1/models/{model:path}",
    "GET /v1/tenants/{tenant}/prefixes",
    "GET /v1/tenants/{tenant}/prefixes/{task}",
    "GET /v1/tenants/{tenant}/prefixes/{task}/versions/{version}",
    "GET /v1/tenants/{tenant}/prefixes/{task}/versions/{version}/file",
})  # fmt: skip

_TASK: Final = "/v1/tenants/{tenant}/prefixes/{task}"
_TENANT: Final = "/v1/tenants/{tenant}"
_TRAININGS: Final = "/v1/tenants/{tenant}/trainings"

NEEDED: Final[Mapping[str, Role]] = {
    "GET /v1/me": "infer",
    "POST /console/session": "infer",
    f"POST {_TASK}/versions": "upload",
    f"GET {_TASK}/versions/{{version}}/drift": "upload",
    f"DELETE {_TASK}/versions/{{version}}": "admin",
    f"DELETE {_TASK}": "admin",
    f"POST {_TASK}/versions/{{version}}/restore": "admin",
    f"POST {_TASK}/restore": "admin",
    f"GET {_TENANT}/deleted-prefixes": "admin",
    f"GET {_TASK}/retention": "admin",
    f"PUT {_TASK}/retention": "admin",
    f"PUT {_TASK}/aliases/{{alias}}": "upload",
    f"POST {_TASK}/aliases/{{alias}}/rollback": "upload",
    f"GET {_TASK}/aliases/{{alias}}/rules": "upload",
    f"PUT {_TASK}/aliases/{{alias}}/rules": "upload",
    f"DELETE {_TASK}/aliases/{{alias}}/rules": "upload",
    f"GET {_TASK}/aliases/{{alias}}/canary": "upload",
    f"GET {_TASK}/aliases/{{alias}}/canary/report": "upload",
    f"PUT {_TASK}/aliases/{{alias}}/canary": "upload",
    f"POST {_TASK}/aliases/{{alias}}/canary/promote": "upload",
    f"DELETE {_TASK}/aliases/{{alias}}/canary": "upload",
    f"GET {_TASK}/readers": "admin",
    f"PUT {_TASK}/readers/{{reader}}": "admin",
    f"DELETE {_TASK}/readers/{{reader}}": "admin",
    f"PUT {_TASK}/public": "admin",
    f"DELETE {_TASK}/public": "admin",
    f"POST {_TRAININGS}": "upload",
    f"GET {_TRAININGS}": "upload",
    f"GET {_TRAININGS}/{{training}}": "upload",
    f"GET {_TRAININGS}/{{training}}/events": "upload",
    f"POST {_TRAININGS}/{{training}}/cancel": "upload",
    f"GET {_TRAININGS}/{{training}}/report": "upload",
    f"GET {_TRAININGS}/{{training}}/curve.png": "upload",
    "POST /v1/tenants": "operator",
    "GET /v1/tenants": "operator",
    f"GET {_TENANT}": "admin",
    f"PATCH {_TENANT}": "operator",
    f"POST {_TENANT}/suspend": "operator",
    f"POST {_TENANT}/resume": "operator",
    f"DELETE {_TENANT}": "operator",
    f"POST {_TENANT}/keys": "admin",
    f"GET {_TENANT}/keys": "admin",
    f"GET {_TENANT}/keys/{{key_id}}": "admin",
    f"POST {_TENANT}/keys/{{key_id}}/rotate": "admin",
    f"DELETE {_TENANT}/keys/{{key_id}}": "admin",
    f"GET {_TENANT}/limits": "admin",
    f"PATCH {_TENANT}/limits": "operator",
    f"GET {_TENANT}/keys/{{key_id}}/limits": "admin",
    f"PATCH {_TENANT}/keys/{{key_id}}/limits": "admin",
    "POST /v1/operator-keys": "operator",
    "GET /v1/operator-keys": "operator",
    "GET /v1/operator-keys/{key_id}": "operator",
    "POST /v1/operator-keys/{key_id}/rotate": "operator",
    "DELETE /v1/operator-keys/{key_id}": "operator",
    f"POST {_TENANT}/webhooks": "admin",
    f"GET {_TENANT}/webhooks": "admin",
    f"GET {_TENANT}/webhooks/{{webhook}}": "admin",
    f"PATCH {_TENANT}/webhooks/{{webhook}}": "admin",
    f"DELETE {_TENANT}/webhooks/{{webhook}}": "admin",
    f"POST {_TENANT}/webhooks/{{webhook}}/rotate": "admin",
    f"POST {_TENANT}/webhooks/{{webhook}}/test": "admin",
    f"GET {_TENANT}/webhooks/{{webhook}}/deliveries": "admin",
    f"GET {_TENANT}/usage": "admin",
    f"GET {_TENANT}/usage/export": "admin",
    "GET /v1/usage": "operator",
    "GET /v1/usage/export": "operator",
    "POST /v1/batches": "infer",
    "GET /v1/batches": "infer",
    "GET /v1/batches/{batch}": "infer",
    "GET /v1/batches/{batch}/results": "infer",
    "POST /v1/batches/{batch}/cancel": "infer",
    "DELETE /v1/batches/{batch}": "infer",
    "POST /v1/feedback": "infer",
    "DELETE /v1/feedback/{request_id}": "infer",
    f"GET {_TENANT}/feedback": "admin",
    f"PUT {_TENANT}/feedback": "admin",
    f"DELETE {_TENANT}/feedback": "admin",
    f"DELETE {_TASK}/feedback": "admin",
    f"GET {_TASK}/review": "upload",
    "POST /label-studio/{tenant}/{task}/webhook": "upload",
    "GET /v1/audit": "admin",
    "GET /v1/audit/export": "admin",
}
"""The lowest role that may call a route. A route with `{tenant}` serves keys of that tenant and of
operators alone."""


def role_of(method: str, path: str) -> Role | None:
    """Return the role that a route needs; None if the registry decides alone.

    Raises:
        LookupError: when neither table has the route, so that a new one cannot be forgotten.
    """
    route = f"{method} {path}"
    if route in VISIBLE:
        return None
    if route not in NEEDED:
        raise LookupError(f"{route} has no role: add it to VISIBLE or NEEDED")
    return NEEDED[route]


def is_inference(method: str, path: str) -> bool:
    """Return whether a route runs prefixes. The engine charges its requests by their inputs."""
    only_looks_up = path.endswith(("/setup", "/index"))  # of Label Studio and of Triton
    return method == "POST" and not only_looks_up and f"{method} {path}" in VISIBLE


def check_access(role: Role, path: str, caller: Caller, params: Mapping[str, Any]) -> None:
    """Check that a caller may use a route that needs a role.

    Args:
        role: the lowest role that may use it.
        path: the route.
        caller: who sends the request.
        params: the values of the parameters in the path.

    Raises:
        KeyRequired: when the request has no key.
        PrefixNotFound, TrainingNotFound, WebhookNotFound, TenantNotFound: when the key belongs to
            another tenant than the one in the path: as if that did not exist.
        RoleRequired: when the role of the key is too low.
    """
    if caller.identity is None:
        raise KeyRequired(
            f"This route needs an API key with the role `{role}`. Send it as "
            "`Authorization: Bearer KEY`."
        )
    if caller.is_operator:
        return
    if params.get("tenant", caller.tenant) != caller.tenant:
        raise _hidden(path, params)
    if ROLES.index(caller.identity.role) < ROLES.index(role):
        raise RoleRequired(
            f"The role of the API key is `{caller.identity.role}`, but this route needs `{role}`. "
            "Use a key with that role."
        )


def _hidden(path: str, params: Mapping[str, Any]) -> Exception:
    """Make the error for something that does not exist."""
    if "webhook" in params:
        return no_webhook(params["webhook"])
    if path.startswith(_TRAININGS):
        return TrainingNotFound("The training does not exist, or was removed. List the trainings.")
    if "task" in params:
        return not_found(f"{params['tenant']}/{params['task']}")
    return no_tenant(params["tenant"])
