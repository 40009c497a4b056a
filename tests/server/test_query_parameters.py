"""Every query parameter has one value: a request that repeats one is rejected."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, Query
from fastapi.routing import APIRoute

from server.api.query_parameters import single_parameters
from tests.server.rest import Rest
from tests.server.test_bad_requests import check_problem
from tests.server.test_error_texts import VALUES, operations


def test_a_repeated_parameter_is_rejected_on_every_route(rest: Rest) -> None:
    names = set()
    with rest.client("operator") as client:
        for method, path, operation, _ in operations(rest):
            for parameter in operation.get("parameters", []):
                if parameter["in"] != "query":
                    continue
                name = parameter["name"]
                names.add(name)
                url = f"{path.format(**VALUES)}?{name}=true&{name}=true&other=1&other=2"
                response = client.request(method, url)
                problem = check_problem(response, 422, "invalid_request")
                expected = "expected one value; found 2. Send the parameter once."
                assert problem["errors"] == [{"field": name, "message": expected}]
    assert names >= {"object", "since", "limit", "before", "after", "format", "permanent"}


def test_a_repeated_parameter_is_rejected_before_the_body_and_after_the_role(rest: Rest) -> None:
    route = "/v1/tenants/acme/prefixes/mood/versions?dry_run=true&dry_run=false"
    files = {"file": ("task.safetensors", b"damaged")}
    check_problem(rest.call("POST", route, "acme", files=files), 422, "invalid_request")
    check_problem(rest.call("POST", route, files=files), 401, "key_required")
    assert rest.registry.show("acme", "mood", reader="acme").versions[-1].number == 1


def test_each_repeated_parameter_is_named(rest: Rest) -> None:
    query = "object=a&object=b&object=c&action=x&action=&limit=5"
    response = rest.call("GET", f"/v1/audit/export?{query}", "operator")
    errors = check_problem(response, 422, "invalid_request")["errors"]
    assert [error["field"] for error in errors] == ["object", "action"]
    assert "found 3" in errors[0]["message"]


@pytest.mark.parametrize("is_nested", [True, False])
def test_lists_may_be_repeated(*, is_nested: bool) -> None:
    router = APIRouter()

    async def handler(
        one: str | None = None, many: Annotated[list[int] | None, Query(alias="all")] = None
    ) -> None: ...

    async def outer(inner: Annotated[None, Depends(handler)]) -> None: ...

    router.add_api_route("/", outer if is_nested else handler)
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    assert single_parameters(route.dependant) == {"one"}
