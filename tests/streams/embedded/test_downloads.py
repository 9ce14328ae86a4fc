"""The jars' download against a local server that fails in every way that networks do."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from schemas.errors import Incompatible, RiverrunError, Unavailable
from streams.embedded import downloads, jars
from streams.embedded.jar_lock import Jar

BYTES = b"the bytes of a jar" * 1_000
JAR = Jar("org.example", "ferry", "1.0", hashlib.sha256(BYTES).hexdigest())


class Repository(BaseHTTPRequestHandler):
    """A Maven repository; what it does is set on the server's class."""

    answer: Callable[[BaseHTTPRequestHandler], None]

    def do_GET(self) -> None:
        """Answer as this test's repository does."""
        type(self).answer(self)

    do_CONNECT = do_GET

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


def serving(handler: BaseHTTPRequestHandler) -> None:
    """A repository that has the jar, and nothing else."""
    asked = handler.path.endswith("/" + JAR.path.as_posix())
    handler.send_response(200 if asked else 404)
    handler.send_header("Content-Length", str(len(BYTES) if asked else 0))
    handler.end_headers()
    handler.wfile.write(BYTES if asked else b"")


def refusing(status: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """A repository that answers every request with a status."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def cut(handler: BaseHTTPRequestHandler) -> None:
    """A repository whose connection breaks amid the file."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(BYTES)))
    handler.end_headers()
    handler.wfile.write(BYTES[:100])


def page(handler: BaseHTTPRequestHandler) -> None:
    """A hotel's network: every address is answered with its page."""
    handler.send_response(200)
    handler.send_header("Content-Length", "13")
    handler.end_headers()
    handler.wfile.write(b"<html></html>")


@contextmanager
def repository(
    answer: Callable[[BaseHTTPRequestHandler], None], certificate: trustme.LeafCert | None = None
) -> Iterator[str]:
    """A server on loopback while it lasts; its URL."""
    handler = type("Answering", (Repository,), {"answer": staticmethod(answer)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}/maven2"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No proxy, mirror or certificate of this machine; a Maven repository of the test's own."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or "CERT" in name or "CA_BUNDLE" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("JGO_CONFIG_FILE", str(tmp_path / "jgo.conf"))
    monkeypatch.setattr(downloads.AGAIN, "backoff_factor", 0.0)
    return tmp_path / "m2"


def configure(folder: Path, **urls: str) -> None:
    """Set the machine's Maven repositories, in their order."""
    lines = [f"{name} = {url}" for name, url in urls.items()]
    (folder / "jgo.conf").write_text("\n".join(["[repositories]", *lines]))


def downloaded(folder: Path) -> list[str]:
    """Download the jar; returns what was said."""
    messages: list[str] = []
    jars.download([JAR], folder / "m2", messages.append, of=1)
    assert (folder / "m2" / JAR.path).read_bytes() == BYTES
    return messages


def failed(folder: Path, kind: type[RiverrunError] = Unavailable) -> str:
    """Fail to download the jar; returns the words, and nothing is left on the disk."""
    with pytest.raises(kind) as failure:
        downloaded(folder)
    left = [path for path in (folder / "m2").rglob("*") if path.is_file()]
    assert left == []
    return str(failure.value)


def test_a_jar_comes_whole_and_is_told_in_one_line(tmp_path: Path) -> None:
    """The file is in its place, nothing else is, and one line was said."""
    with repository(serving) as url:
        configure(tmp_path, mirror=url)
        assert len(downloaded(tmp_path)) == 1
    files = [path for path in (tmp_path / "m2").rglob("*") if path.is_file()]
    assert files == [tmp_path / "m2" / JAR.path]


def test_a_certificate_that_is_not_trusted_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names host, cause and the variables; with any of them set, the jar comes."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with repository(serving, authority.issue_cert("127.0.0.1")) as url:
        configure(tmp_path, mirror=url)
        words = failed(tmp_path)
        assert "certificate of 127.0.0.1 is not trusted" in words
        assert "SSL_CERT_FILE" in words
        assert "REQUESTS_CA_BUNDLE" in words
        assert "on the network" not in words
        for name in downloads.CA_VARIABLES:
            monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
            downloaded(tmp_path)
            (tmp_path / "m2" / JAR.path).unlink()
            monkeypatch.delenv(name)


def test_a_ca_file_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that points nowhere is told, whoever reads it."""
    with repository(serving, trustme.CA().issue_cert("127.0.0.1")) as url:
        configure(tmp_path, mirror=url)
        for name in downloads.CA_VARIABLES:
            monkeypatch.setenv(name, "/nowhere/ca.pem")
            assert f"{name} is /nowhere/ca.pem, which does not exist" in failed(tmp_path)
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("names", "until", "words"),
    [(["elsewhere.example"], None, "another name"), (["127.0.0.1"], 2020, "clock")],
)
def test_a_trusted_certificate_that_does_not_fit_is_told_apart(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    until: int | None,
    words: str,
) -> None:
    """For another host, or expired: that, and no advice to trust it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    expired = None if until is None else datetime(until, 1, 1, tzinfo=UTC)
    certificate = authority.issue_cert(*names, not_after=expired)
    with repository(serving, certificate) as url:
        configure(tmp_path, mirror=url)
        told = failed(tmp_path)
    assert words in told
    assert "PEM" not in told


def test_a_server_without_tls_is_told_as_such(tmp_path: Path) -> None:
    """`https` in the URL of a plain server is no question of certificates."""
    with repository(serving) as url:
        configure(tmp_path, mirror=url.replace("http:", "https:"))
        assert "does not speak TLS" in failed(tmp_path)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusing(404), "does not have it"),
        (refusing(401), "~/.netrc"),
        (refusing(403), "~/.netrc"),
        (refusing(429), "later"),
        (refusing(500), "later"),
        (refusing(503), "later"),
        (cut, "finished downloads are kept"),
    ],
)
def test_a_repository_that_does_not_serve_it_is_told_with_its_answer(
    tmp_path: Path, answer: Callable[[BaseHTTPRequestHandler], None], words: str
) -> None:
    """Each answer has its own advice, and the address has no password in it."""
    with repository(answer) as url:
        configure(tmp_path, mirror=url.replace("//", "//me:secret@"))
        told = failed(tmp_path)
    assert words in told
    assert str(JAR) in told
    assert "secret" not in told


def test_other_bytes_than_the_locked_ones_are_thrown_away(tmp_path: Path) -> None:
    """A login page in the jar's place: its address, its size, and nothing is kept."""
    with repository(page) as url:
        configure(tmp_path, mirror=url)
        told = failed(tmp_path, Incompatible)
    assert "serves 13 bytes" in told
    assert "browser" in told


def test_the_next_repository_is_asked(tmp_path: Path) -> None:
    """One that lacks the jar, or is down, is no obstacle; if all fail, a real fault is told."""
    closed = f"http://127.0.0.1:{unused_port()}"
    with repository(refusing(404)) as lacking, repository(serving) as has:
        configure(tmp_path, first=closed, second=lacking, third=has)
        downloaded(tmp_path)
        (tmp_path / "m2" / JAR.path).unlink()
        configure(tmp_path, first=closed, second=lacking)
        assert "onnection refused" in failed(tmp_path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:{closed}", "onnection refused"),
        ("http://nowhere.invalid", "the name nowhere.invalid is not known"),
        ("htp://127.0.0.1", "jgo.conf"),
        ("repo.example.com/maven2", "jgo.conf"),
        ("http://[broken", "jgo.conf"),
    ],
)
def test_a_repository_that_cannot_be_reached_is_told_with_its_cause(
    tmp_path: Path, url: str, words: str
) -> None:
    """Nobody listens, no such name, no URL at all: the cause is in the words, and what to set."""
    configure(tmp_path, mirror=url.format(closed=unused_port()))
    assert words in failed(tmp_path)


def test_a_repository_that_is_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection without an answer ends, and the firewall is asked about."""
    monkeypatch.setattr(downloads, "READ_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure(tmp_path, mirror=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "firewall" in failed(tmp_path)


@pytest.mark.parametrize("status", [None, 407, 403])
def test_a_proxy_that_does_not_work_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    """Not there, or it refuses: HTTPS_PROXY is what to look at, not the network."""
    configure(tmp_path, mirror="https://repo.example.com/maven2")
    with repository(refusing(status or 500)) as url:
        base_url = url.removesuffix("/maven2") if status else f"http://127.0.0.1:{unused_port()}"
        monkeypatch.setenv("HTTPS_PROXY", base_url.replace("//", "//me:secret@"))
        told = failed(tmp_path)
    assert "HTTPS_PROXY is http://***@127.0.0.1" in told
    assert "secret" not in told


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_disk_that_takes_nothing_is_told_with_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Full, or read-only: which folder, and which variable moves it."""

    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(jars, "fetch", full)
    told = failed(tmp_path)
    assert str(tmp_path / "m2") in told
    assert "M2_REPO" in told
    assert ("no room" in told) is (number in (errno.ENOSPC, errno.EDQUOT))


def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
