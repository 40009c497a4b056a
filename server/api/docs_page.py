"""/docs: the OpenAPI document in Swagger UI, without requests to other hosts.

FastAPI's own page loads its scripts from other hosts. They could see who uses the server, and
cannot be reached from closed networks. The Content-Security-Policy makes browsers enforce this.
"""

from importlib.resources import files
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles

_ASSETS: Final = "/docs/assets"
_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def install(app: FastAPI) -> None:
    """Add the page, and the files of Swagger UI from the package that contains them."""
    folder = files("fastapi_standalone_docs") / "static" / "swagger"
    app.mount(_ASSETS, StaticFiles(directory=str(folder)))
    app.add_route("/docs", _page, include_in_schema=False)


async def _page(request: Request) -> Response:
    root = request.scope.get("root_path", "").rstrip("/")
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="polyprefix",
        swagger_js_url=f"{root}{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{_ASSETS}/swagger-ui.css",
        swagger_favicon_url="data:,",
        # With a validator, browsers would send the document to another host.
        swagger_ui_parameters={"validatorUrl": None},
    )
    page.headers["Content-Security-Policy"] = _POLICY
    return page
