"""HTTP services that are functions from requests to answers, served on 127.0.0.1, and a proxy that lets them stand for hosts with TLS.

`intercepting` is for libraries that take no other address for a service than its own: it tells the library, through the environment that
proxies and CA files are read from, to reach every host by a proxy, which opens the TLS itself with a certificate of a CA made for it.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    target: str
    """Path and query, as they were sent."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""
    body: bytes = b""

    @property
    def path(self) -> str:
        """Without the query, decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """The last value of each."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service says."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Service = Callable[[Request], Answer]


def part_of(content: bytes, header: str | None) -> Answer:
    """An object's bytes, or the range of them that was asked for (RFC 9110, 14.1)."""
    if not header:
        return Answer(200, content)
    begin_text, _, end_text = header.removeprefix("bytes=").partition("-")
    begin, end = int(begin_text), min(int(end_text) if end_text else len(content), len(content) - 1)
    if begin > end:
        return Answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
    return Answer(206, content[begin : end + 1], {"Content-Range": f"bytes {begin}-{end}/{len(content)}"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    services: ClassVar[Mapping[str, Service]]
    """By host; the one for every host has an empty name."""
    certificates: ClassVar[_Certificates | None] = None
    host: str = ""

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            super().handle_one_request()
            return
        self.close_connection = True

    def finish(self) -> None:
        """Closes what speaks TLS; the server closes no more than the socket that it began with."""
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()

    def do_CONNECT(self) -> None:
        """Becomes the host that was asked for."""
        assert self.certificates is not None
        self.host = self.path.rpartition(":")[0]
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        context = self.certificates.context_for(self.host)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = _Writer(self.connection)  # type: ignore[assignment]
        self.close_connection = False

    def _answer(self) -> None:
        size_bytes = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size_bytes)
        if len(body) != size_bytes:
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        service = self.services.get(self.host) or self.services.get("")
        request = Request(self.command, self.path, headers, body)
        answer = service(request) if service else Answer(404)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = _answer  # noqa: N815


class _Writer:
    """A socket as a file that is written to at once."""

    closed = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def write(self, content: bytes) -> int:
        self._connection.sendall(content)
        return len(content)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True


class _TlsSocket(ssl.SSLSocket):
    """Closes itself: Python leaves one open whose client went away before the first word."""

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Certificates:
    """A CA of its own, and certificates of hosts signed by it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "holdfast tests")])
        self._lock = threading.Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.ca = directory / "ca.pem"
        certificate = self._signed(self._name, self._key.public_key(), None)
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def context_for(self, host: str) -> ssl.SSLContext:
        """What a server that is `host` speaks TLS with."""
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = self._made(host)
            return self._contexts[host]

    def _made(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host")])
        path = self._directory / f"{host}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self._signed(name, key.public_key(), host).public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslsocket_class = _TlsSocket
        context.load_cert_chain(path)
        return context

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePublicKey, host: str | None) -> x509.Certificate:
        now = SystemClock().now().astimezone(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


@contextlib.contextmanager
def serving(services: Mapping[str, Service], directory: Path | None = None) -> Iterator[int]:
    """Serves them on the port that it gives, each for its host, or all for the service of the empty name. With a folder it is a proxy too."""
    handler = type(
        "Handler",
        (_Handler,),
        {"services": services, "certificates": _Certificates(directory) if directory else None},
    )
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def intercepting(services: Mapping[str, Service]) -> Iterator[dict[str, str]]:
    """Serves hosts with TLS; gives the environment in which a program takes them for the real ones."""
    with tempfile.TemporaryDirectory(prefix="holdfast-tls-") as work, serving(services, Path(work)) as port:
        proxy = f"http://127.0.0.1:{port}"
        yield {"HTTPS_PROXY": proxy, "SSL_CERT_FILE": f"{work}/ca.pem", "NO_PROXY": "127.0.0.1"}


@contextlib.contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Changes this process's environment for a while."""
    old = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
