"""The broker that a sink connects to, and the TLS settings for it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from rpi_runtime.errors import InputError
from rpi_runtime.sinks.mqtt.outbox import Mail


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSpec:
    """The broker, and how to connect to it.

    Attributes
    ----------
    host, port
    client_id : str
    username, password : str
        Empty for a broker without accounts.
    tls : bool
        The broker's certificate and name are always verified.
    ca_file, cert_file, key_file : str
        PEM: certificate authorities instead of the system's; a client certificate and its key.
    keepalive_s : int
    will : Mail
        Sent by the broker when this client disappears.
    first_wait_s, most_wait_s : float
        First and longest wait between two attempts.
    """

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    keepalive_s: int = 30
    will: Mail
    first_wait_s: float = 1.0
    most_wait_s: float = 30.0

    @property
    def address(self) -> str:
        """``HOST:PORT``, for messages."""
        return f"{self.host}:{self.port}"


def make_tls_context(spec: BrokerSpec) -> ssl.SSLContext:
    """Return a context that verifies the broker; raises `InputError` if a file cannot be used."""
    if spec.key_file and not spec.cert_file:
        raise InputError(f"mqtt: key_file {spec.key_file}: it has no certificate; give cert_file too")
    try:
        context = ssl.create_default_context(cafile=spec.ca_file or None)
        if spec.cert_file:
            refuse = _passphrase_refusal(spec.key_file or spec.cert_file)
            context.load_cert_chain(spec.cert_file, spec.key_file or None, password=refuse)
    except (OSError, ssl.SSLError) as err:
        files = ", ".join(filter(None, (spec.ca_file, spec.cert_file, spec.key_file)))
        raise InputError(
            f"mqtt: {files}: cannot be used for TLS ({err}); expected PEM files that this user may read, and "
            "the key that belongs to the certificate"
        ) from err
    return context


def _passphrase_refusal(file: str) -> Callable[[], str]:
    """Answer OpenSSL's request for a passphrase, which would otherwise ask at a terminal that a service lacks."""

    def refuse() -> str:
        raise InputError(
            f"mqtt: {file}: the key is encrypted; expected one without a passphrase that only this user may "
            f"read, as `openssl pkey -in {file} -out FILE` makes it"
        )

    return refuse
