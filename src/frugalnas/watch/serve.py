"""Serve the page, on loopback only, to who asks for this very address."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from frugalnas.core import InputError
from frugalnas.watch.page import Runs, connect, index_page, layout

LOOPBACK = "127.0.0.1"
FIRST, LAST = 8050, 8070  # ports that are tried, before any that is free
_POLICY = (
    "default-src 'none'; script-src 'self' {}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def application(paths: Sequence[Path], hosts: Callable[[], Sequence[str]]) -> Wsgi:
    """The page of the runs in `paths` as a WSGI application, which answers for the `hosts` only.

    Raises InputError where Dash or waitress is not installed.
    """
    try:
        import waitress  # noqa: F401
        from dash import Dash
    except ImportError:
        raise InputError("frugalnas watch needs Dash and waitress: pip install 'frugalnas[watch]'") from None
    app = Dash(
        __name__,
        serve_locally=True,
        assets_folder="",
        title="FrugalNAS",
        update_title="",
        index_string=index_page(),
        suppress_callback_exceptions=True,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        include_pages_meta=False,
        add_log_handler=False,
    )
    app.layout = layout
    connect(app, Runs(paths))
    return guarded(app.server, hosts, lambda: _POLICY.format(" ".join(app.csp_hashes())))


def guarded(wsgi: Wsgi, hosts: Callable[[], Sequence[str]], policy: Callable[[], str]) -> Wsgi:
    """`wsgi` for who asks for one of the `hosts`, with headers that let a page run its own scripts only.

    A page from elsewhere, whose name was made to point here, asks for another host.
    """

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        known = hosts()
        origin = environ.get("HTTP_ORIGIN")
        if environ.get("HTTP_HOST") not in known or origin not in (None, *(f"http://{host}" for host in known)):
            start("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"This page answers to its own address only.\n"]

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start(status, [*headers, ("Content-Security-Policy", policy()), *_HEADERS], *rest)

        return wsgi(environ, started)

    return answer


def bound(port: int) -> socket.socket:
    """A socket on loopback: of `port`, or with 0 of a free one, from FIRST on. Raises InputError for a taken port."""
    tried = [port] if port else [*range(FIRST, LAST), 0]
    for each in tried:
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOOPBACK, each))
            return server
        except (OSError, OverflowError) as error:
            server.close()
            reason = error.strerror if isinstance(error, OSError) else "expected 1 to 65535"
    raise InputError(f"--port {port}: {reason}; without it a free one is taken")


def serve(paths: Sequence[Path], port: int = 0, ready: Callable[[str], None] | None = None) -> None:
    """Serve the page of the runs in `paths` until an interrupt; `ready` is told its address. Raises InputError."""
    hosts: list[str] = []
    wsgi = application(paths, lambda: hosts)
    from waitress import create_server

    with bound(port) as listening:
        number = listening.getsockname()[1]
        hosts += [f"{LOOPBACK}:{number}", f"localhost:{number}"]
        server = create_server(wsgi, sockets=[listening], threads=4, ident=None, clear_untrusted_proxy_headers=True)
        logging.getLogger("waitress.queue").setLevel(
            logging.ERROR
        )  # a short queue is usual: a page asks for much at once
        if ready:
            ready(f"http://{LOOPBACK}:{number}/")
        server.run()
