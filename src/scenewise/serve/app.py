"""The service over HTTP: what can be asked, who may ask, and how much at once."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field, ValidationError
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from scenewise.errors import InputError
from scenewise.loopback import LOOPBACK
from scenewise.media.files import atomic_file
from scenewise.serve.service import FullError, Service
from scenewise.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_BEARER = HTTPBearer(auto_error=False)
_LINK_BYTES = 64 << 10
_PLAIN = ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "")


class Link(BaseModel):
    """A video to be fetched."""

    url: str = Field(max_length=4000, description="Address of a video, below a root that the service may fetch from")


_LINK = {"requestBody": {"required": True, "content": {"application/json": {"schema": Link.model_json_schema()}}}}


class Accepted(BaseModel):
    """What came in."""

    id: str = Field(description="Number of the video, for all later questions")


class Job(BaseModel):
    """What is known of one video."""

    id: str
    name: str = Field(description="Name that it came by")
    state: str = Field(description="waiting, running, done or failed")
    waiting_before: int = Field(description="Videos whose turn is before")
    frames: int = Field(description="Frames taken apart so far")
    expected_frames: int | None = Field(description="Frames in all, as far as the file tells")
    verdict: str = Field(description="Whether the model knows such footage; see the documentation of output files")
    objects: int | None = Field(description="Objects found")
    seconds: float = Field(description="What it took")
    error: str = Field(description="Why it failed")
    files: list[str] = Field(description="Names of the files of results")


class Health(BaseModel):
    """The service itself."""

    status: str
    model: str
    version: str
    waiting: int = Field(description="Videos whose turn has not come")


class Problem(BaseModel):
    """Why a question is not answered."""

    detail: str


_REFUSED: dict[int | str, dict[str, Any]] = {401: {"model": Problem}}


def make_app(service: Service, token: str | None = None, hosts: Sequence[str] = LOOPBACK) -> FastAPI:
    """Return the application.

    Args:
        service: Does the work.
        token: What every question must bring; None where only this machine can ask.
        hosts: Names under which this machine may ask without a token.
    """
    app = FastAPI(title="scenewise", version=__version__, description="Take videos apart into their objects.")
    if token is None:  # a page of another site that calls itself by our address is not answered
        names = [f"[{host}]" if ":" in host else host for host in hosts]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names)

    def allowed(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if token is None:
            return
        if credentials is None or not hmac.compare_digest(credentials.credentials.encode(), token.encode()):
            raise HTTPException(401, "Give the token: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"})

    @app.get("/health")
    def health() -> Health:
        """Tell whether the service works."""
        if service.problem:
            raise HTTPException(503, service.problem)
        return Health(status="ok", model=service.model, version=__version__, waiting=service.waiting)

    for router in (_uploads(service), _jobs(service)):
        app.include_router(router, prefix="/jobs", dependencies=[Depends(allowed)], responses=_REFUSED)
    return app


def _uploads(service: Service) -> APIRouter:
    """Return the ways in which a video comes in."""
    router = APIRouter()
    full = _REFUSED | {code: {"model": Problem} for code in (400, 413, 415, 422, 429, 503)}

    @router.post("", status_code=202, responses=full, openapi_extra=_BODY, response_model=Accepted)
    async def upload(request: Request, name: str) -> Accepted:
        """Take a video apart: its bytes are the body, `name` is the name of its file."""
        _check(service)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _PLAIN:  # which pages of other sites can send without asking
            raise HTTPException(415, "Send the bytes of the video as application/octet-stream.")
        try:
            number, path = service.place_for(name)
        except InputError as error:
            raise HTTPException(422, error.line()) from error
        try:
            service.reserve()
        except FullError as error:
            raise _too_many() from error
        try:
            with atomic_file(path) as file:
                async for block in _body(request, service.limits.megabytes << 20):
                    file.write(block)
            service.add(number, str(path), name)
        except InputError as error:
            raise HTTPException(503, "The disk of the service is full.") from error
        finally:
            service.release()
        return Accepted(id=number)

    @router.post("/link", status_code=202, responses=full, openapi_extra=_LINK, response_model=Accepted)
    async def fetch(request: Request) -> Accepted:
        """Take a video apart that lies below one of the service's roots."""
        _check(service)
        try:
            link = Link.model_validate_json(b"".join([block async for block in _body(request, _LINK_BYTES)]))
            return Accepted(id=service.add_address(link.url))
        except ValidationError as error:  # what came is not sent back: it may be anything
            raise HTTPException(422, f'Send {{"url": "..."}}: {error.errors()[0]["msg"]}.') from error
        except InputError as error:
            raise HTTPException(422, error.line()) from error
        except FullError as error:
            raise _too_many() from error

    return router


def _jobs(service: Service) -> APIRouter:
    """Return what can be asked of videos that came in."""
    router = APIRouter()
    unknown = _REFUSED | {404: {"model": Problem}}
    binary: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}

    @router.get("")
    def jobs() -> list[str]:
        """List the numbers of all videos, the newest first."""
        return service.numbers()

    @router.get("/{number}", responses=unknown)
    def job(number: str) -> Job:
        """Tell what became of a video, or how far it is."""
        facts = service.facts(number)
        if facts is None:
            raise HTTPException(404, "There is no such video.")
        return Job(**facts)

    @router.delete("/{number}", status_code=204, responses=unknown)
    def drop(number: str) -> Response:
        """Break off a video, and remove what there is of it."""
        if not service.drop(number):
            raise HTTPException(404, "There is no such video.")
        return Response(status_code=204)

    @router.get("/{number}/files/{name:path}", responses=unknown | binary, response_class=FileResponse)
    def file(number: str, name: str) -> FileResponse:
        """Give one file of a video's results."""
        path = service.file(number, name)
        if path is None:
            raise HTTPException(404, "There is no such file.")
        return FileResponse(path, headers={"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"})

    return router


async def _body(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yield the body of a request as it comes, up to so many bytes."""
    large = HTTPException(413, f"At most {most / (1 << 20):g} MiB are taken.")
    if int(request.headers.get("content-length", "0")) > most:
        raise large
    size = 0
    try:
        async for block in request.stream():
            size += len(block)
            if size > most:
                raise large
            yield block
    except ClientDisconnect:
        raise HTTPException(400, "The body broke off.") from None
    if not size:
        raise HTTPException(400, "The body is empty.")


def _check(service: Service) -> None:
    if service.problem:
        raise HTTPException(503, service.problem)


def _too_many() -> HTTPException:
    return HTTPException(429, "As many videos wait as may; try again later.", {"Retry-After": "30"})
