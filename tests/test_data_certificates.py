"""Files of servers with TLS: trusted, or refused with the reason; no way back to plain HTTP."""

import hashlib
import select
import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from syndet_ray.data.remote.catalogue import CatalogueEntry, CatalogueFile
from syndet_ray.data.remote.download import fetch
from syndet_ray.data.remote.public import fetch_public
from syndet_ray.errors import DataError, MachineError

CONTENT = b"photos and labels"
SUM = hashlib.sha256(CONTENT).hexdigest()
DAY = timedelta(days=1)
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES = ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Authority:
    """A private authority. file: its own certificate."""

    def __init__(self, folder, name="our network"):
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        is_authority = x509.BasicConstraints(ca=True, path_length=None)
        own = self._signed(self.name, self.key, is_authority, DAY)
        self.file = folder / "authority.pem"
        self.file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def certificate(self, name, host="127.0.0.1", age=DAY):
        """A file with the certificate of a host and its key; it holds for two days, of which `age`
        are over.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        hosts = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
        pem = serialization.Encoding.PEM
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        file = self.folder / f"{name}.pem"
        certificate = self._signed(subject, key, hosts, age)
        file.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, *form))
        return file

    def _signed(self, subject, key, extension, age):
        start = datetime.now(UTC) - age
        number = x509.random_serial_number()
        unsigned = x509.CertificateBuilder(
            self.name, subject, key.public_key(), number, start, start + 2 * DAY
        ).add_extension(extension, critical=True)
        return unsigned.sign(self.key, hashes.SHA256())


class Files(BaseHTTPRequestHandler):
    """Sends CONTENT, whatever is asked for, or leads elsewhere."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        moved_to = self.server.redirections.get(self.path)
        self.send_response(200 if moved_to is None else 302)
        self.send_header("Content-Length", str(len(CONTENT) if moved_to is None else 0))
        if moved_to is not None:
            self.send_header("Location", moved_to)
        self.end_headers()
        if moved_to is None:
            self.wfile.write(CONTENT)


class Proxy(BaseHTTPRequestHandler):
    """Opens tunnels, or refuses them."""

    def log_message(self, *arguments):
        pass

    def do_CONNECT(self):
        self.server.tunnels.append(self.path)
        if self.server.refuses:
            self.send_error(407)
            return
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as target:
            self.send_response(200)
            self.end_headers()
            others = {self.connection: target, target: self.connection}
            while True:
                ready, _, _ = select.select(list(others), [], [], 5)
                content = ready[0].recv(1 << 16) if ready else b""
                if not content:
                    break
                others[ready[0]].sendall(content)
        self.close_connection = True


@contextmanager
def serving(handler, context=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # of a client that does not trust us
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority, monkeypatch):
    """A server that has a right certificate, on a machine that trusts its authority."""
    for name in (*VARIABLES, *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate("right"))
    with serving(Files, context) as server:
        server.context, server.redirections = context, {}
        server.url = f"https://127.0.0.1:{server.server_port}"
        yield server


def fetched(url, tmp_path):
    """The content of a file that is fetched."""
    file = tmp_path / "a.zip"
    fetch(url, file, SUM, most_bytes=1000, progress=lambda done, total: None)
    return file.read_bytes()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_private_authority_is_trusted_when_it_is_named(
    server, authority, variable, tmp_path, monkeypatch
):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(
        MachineError,
        match=r"/a\.zip: has a certificate of an authority that is not trusted here "
        r"\(unable to get local issuer certificate\)\. If you trust .* in SSL_CERT_FILE\.$",
    ):
        fetched(f"{server.url}/a.zip", tmp_path)
    monkeypatch.setenv(variable, str(authority.file))
    assert fetched(f"{server.url}/a.zip", tmp_path) == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_the_file_that_lacks_an_authority_is_named(server, tmp_path, monkeypatch):
    """One variable hides another: REQUESTS_CA_BUNDLE counts here, not SSL_CERT_FILE."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "another network").file
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    with pytest.raises(MachineError, match=rf"in REQUESTS_CA_BUNDLE\. It names {other} now"):
        fetched(f"{server.url}/a.zip", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": 3 * DAY}, r"has a certificate that is no longer valid\. Check the clock"),
        ({"age": -DAY}, r"has a certificate that is not yet valid\. Check the clock"),
        ({"host": "192.0.2.1"}, r"has the certificate of another host \(IP address mismatch, .*'1"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(server, authority, changes, message, tmp_path):
    server.context.load_cert_chain(authority.certificate("wrong", **changes))
    with pytest.raises(MachineError, match=message):
        fetched(f"{server.url}/a.zip", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"\$SSL_CERT_FILE: names no file, got '.*mine\.pem'\. Correct it, or unset it"),
        (
            b"",
            r"\$SSL_CERT_FILE: must name a file of certificates in PEM \(NO_CERTIFICATE_OR_CRL_F",
        ),
    ],
)
def test_authorities_that_are_none_are_named(server, content, message, tmp_path, monkeypatch):
    file = tmp_path / "mine.pem"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(MachineError, match=message):
        fetched(f"{server.url}/a.zip", tmp_path)


def test_a_redirection_stays_encrypted(server, tmp_path):
    with serving(Files) as plain:
        plain.redirections = {}
        server.redirections = {
            "/moved.zip": "/a.zip",
            "/down.zip": f"http://127.0.0.1:{plain.server_port}/a.zip?token=secret",
        }
        assert fetched(f"{server.url}/moved.zip", tmp_path) == CONTENT
        with pytest.raises(
            DataError,
            match=r"/down\.zip: leads to http://.*/a\.zip, which others could .* https://",
        ) as refusal:
            fetched(f"{server.url}/down.zip", tmp_path)
    assert "secret" not in str(refusal.value)


def test_a_proxy_is_used_unless_the_host_is_excepted(server, tmp_path, monkeypatch):
    with serving(Proxy) as proxy:
        proxy.tunnels, proxy.refuses = [], False
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.server_port}")
        assert fetched(f"{server.url}/a.zip", tmp_path) == CONTENT
        assert proxy.tunnels == [server.url.removeprefix("https://")]
        proxy.refuses = True
        with pytest.raises(
            MachineError, match=r"reached through the proxy \(Tunnel connection failed: 407 Proxy A"
        ) as refusal:
            fetched(f"{server.url}/b.zip", tmp_path)
        assert "secret" not in str(refusal.value)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert fetched(f"{server.url}/b.zip", tmp_path) == CONTENT
        assert len(proxy.tunnels) == 2


def test_a_public_dataset_is_fetched_from_an_encrypted_server(server, tmp_path):
    file = CatalogueFile(url=f"{server.url}/a.record", name="a.record", sha256=SUM)
    entry = CatalogueEntry(name="tiny", about="a", licence="b", citation="c", files=(file,))
    fetch_public(entry, tmp_path / "tiny", lambda name, done, total: None)
    assert (tmp_path / "tiny" / "a.record").read_bytes() == CONTENT
