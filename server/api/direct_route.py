"""DirectRoute: answers plain requests without the general machinery, which costs more than they do.

FastAPI finds out anew for every request what its handler depends on: two fifths of the processor
time of a short request beside its forward pass, when that was profiled. A request that is as
expected goes straight to its handler; any other takes FastAPI's way, which words the errors.
"""

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from server import media_types
from server.api.dependencies import AuthenticatedRoute
from server.api.inference import Inference


class DirectRoute(AuthenticatedRoute):
    """A route whose handler takes a `body` of JSON and an `inference`, and gives a Response."""

    def get_authenticated_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        usual = super().get_authenticated_handler()
        answer = self.endpoint
        model: type[BaseModel] = get_type_hints(answer)["body"]

        async def handle(request: Request) -> Response:
            inference = Inference.of_plain(request)
            if inference is None or not _is_json(request):
                return await usual(request)
            try:
                body = model.model_validate_json(await request.body())
            except ValidationError:
                return await usual(request)
            response: Response = await answer(body, inference)
            return response

        return handle


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == media_types.JSON
