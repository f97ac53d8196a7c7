"""TLS contexts of our own: verification on, version 1.2 or higher, HTTP/1.1 only.

Trust comes from, in this order: ``ssl_context`` or ``ca_file`` of the settings, the
environment variables ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` (as httpx and OpenSSL do),
certifi, the system. A context costs some 10 ms, so it is made at the first secure
connection and shared by equal settings.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.config.settings import TLSSettings

ALPN = ("http/1.1",)

_MOST_CONTEXTS = 32
_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_contexts: dict[tuple[object, ...], ssl.SSLContext] = {}


def context_for(options: TLSSettings) -> ssl.SSLContext:
    """Return the context for *options*, made once.

    Raises:
        InvalidSettingError: A certificate file is missing or unusable.
    """
    if options.ssl_context is not None:
        return options.ssl_context
    given = None if options.ca_file is None else os.fspath(options.ca_file)
    ca_file = given or os.environ.get("SSL_CERT_FILE") or None
    ca_dir = None if ca_file else os.environ.get("SSL_CERT_DIR") or None
    key = (
        ca_file,
        ca_dir,
        options.client_cert,
        options.client_key,
        options.min_version,
        options.insecure_tls,
    )
    context = _contexts.get(key)
    if context is None:
        if len(_contexts) >= _MOST_CONTEXTS:
            _contexts.clear()
        context = _contexts[key] = _create(options, ca_file, ca_dir)
    return context


def _create(options: TLSSettings, ca_file: str | None, ca_dir: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    problem = None
    name = "tls.ca_file"
    try:
        if ca_file or ca_dir:
            context.load_verify_locations(cafile=ca_file, capath=ca_dir)
        else:
            _load_default(context)
        if options.client_cert:
            name = "tls.client_cert"
            context.load_cert_chain(options.client_cert, options.client_key)
    except (OSError, ssl.SSLError) as exc:
        problem = exc.strerror or str(exc)
    if problem is not None:
        raise InvalidSettingError(f"cannot use the file of {name}: {problem}", setting=name)
    context.minimum_version = _VERSIONS[options.min_version]
    context.set_alpn_protocols(list(ALPN))
    if options.insecure_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_default(context: ssl.SSLContext) -> None:
    try:
        import certifi
    except ImportError:
        context.load_default_certs()
    else:
        context.load_verify_locations(cafile=certifi.where())


class TLSPipe:
    """TLS without I/O: ciphertext in, plaintext out, and the other way round.

    Used for asynchronous connections: asyncio's own layer holds a buffer of 256 KB for each.

    Args:
        context: Trust and versions.
        hostname: Whom the certificate must name.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "eof")

    def __init__(self, context: ssl.SSLContext, hostname: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)
        self.eof = False

    def handshake(self, data: bytes | None = None) -> bool:
        """Go on with the handshake after *data* came; tell whether it is finished.

        Raises:
            ssl.SSLError: It failed.
        """
        if data is not None:
            self._incoming.write(data) if data else self._incoming.write_eof()
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self, data: bytes) -> bytes:
        """Return the plaintext of *data*, maybe none; sets :attr:`eof` at the end.

        Raises:
            ssl.SSLError: The records are broken.
        """
        self._incoming.write(data)
        pieces = []
        try:
            while piece := self._object.read(65536):
                pieces.append(piece)
            self.eof = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.eof = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def encrypt(self, view: memoryview) -> bytes:
        """Return *view* as records."""
        while view:
            view = view[self._object.write(view) :]
        return self._outgoing.read()

    def pending_out(self) -> bytes:
        """Return what the layer itself wants to send, such as handshake records."""
        return self._outgoing.read()
