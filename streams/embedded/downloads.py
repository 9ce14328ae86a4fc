"""One file from a Maven repository over HTTP, and what to do when it does not come.

Certificates are those of the system (truststore), of requests' own bundle, and of the file that
`REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` or `SSL_CERT_FILE` names. Proxies are those of
`HTTPS_PROXY` and `NO_PROXY`; credentials those of `~/.netrc`.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import truststore
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NameResolutionError
from urllib3.util import Retry

from schemas.errors import Unavailable

CONNECT_S, READ_S = 10, 30
CHUNK = 1 << 16
AGAIN = Retry(
    total=3,
    read=1,
    other=0,  # a certificate that is not trusted is not trusted the second time
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    raise_on_status=False,
    respect_retry_after_header=False,
)
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
MIRROR = "~/.config/jgo.conf ([repositories], name = URL)"


class SystemTrust(HTTPAdapter):
    """Connections that trust what the system trusts, and try again what may pass."""

    def __init__(self) -> None:
        super().__init__(max_retries=AGAIN, pool_maxsize=16)

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*arguments, ssl_context=_context(), **settings)

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        """Make the pools of connections by way of a proxy."""
        return super().proxy_manager_for(proxy, ssl_context=_context(), **settings)


def _context() -> ssl.SSLContext:
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def session() -> requests.Session:
    """Return a session for several downloads, sequential or concurrent."""
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # retries are told where they fail
    session = requests.Session()
    session.mount("https://", SystemTrust())
    session.mount("http://", HTTPAdapter(max_retries=AGAIN, pool_maxsize=16))
    return session


def fetch(over: requests.Session, name: str, urls: Mapping[str, str], target: Path) -> str:
    """Write the first of `urls` (by repository) that is served to `target`; return its URL.

    Raises `Unavailable`, with what to do, of the last repository that failed otherwise than by not
    having it. An error of the file system is left to the caller.
    """
    failure: Unavailable | None = None
    for repository, url in urls.items():
        try:
            return _fetch_from(over, name, repository, url, target)
        except Unavailable as error:
            failure = error if failure is None or not isinstance(error, _Lacking) else failure
    assert failure is not None, "there is at least one repository"
    raise failure


class _Lacking(Unavailable):
    """A repository that answers and does not have the file."""


def _fetch_from(over: requests.Session, name: str, repository: str, url: str, target: Path) -> str:
    try:
        with over.get(url, stream=True, timeout=(CONNECT_S, READ_S)) as response:
            if response.status_code != 200:
                raise _refused(name, repository, url, response)
            with target.open("wb") as file:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
    except requests.RequestException as error:
        raise _failure(name, url, error) from error
    except OSError as error:
        if "CA certificate bundle" in str(error):  # requests' own, raised as a bare OSError
            raise _failure(name, url, error) from error
        raise
    return url


def _refused(name: str, repository: str, url: str, response: requests.Response) -> Unavailable:
    status, where = response.status_code, without_credentials(url)
    message = f"{name} could not be downloaded: {where} answered {status} {response.reason}."
    if status in (404, 410):
        return _Lacking(
            f"{message} The repository {repository!r} does not have it; a mirror must mirror Maven "
            f"Central. Repositories are set in {MIRROR}."
        )
    if status in (401, 403):
        return Unavailable(
            f"{message} It requires credentials: put them into ~/.netrc, or set another repository "
            f"in {MIRROR}."
        )
    if status == 407:
        return Unavailable(f"{message} {_proxy()}")
    return Unavailable(f"{message} Retry later; finished downloads are kept. {_mirror()}")


def _failure(name: str, url: str, error: Exception) -> Unavailable:
    cause = _root(error)
    message = f"{name} could not be downloaded from {without_credentials(url)}"
    if isinstance(error, ValueError):  # InvalidURL, MissingSchema and their like
        return Unavailable(f"{message}: {cause}. Repositories are set in {MIRROR}.")
    host = urlsplit(url).hostname
    if isinstance(error, requests.exceptions.ProxyError):
        return Unavailable(f"{message}: the proxy refused it ({cause}). {_proxy()}")
    if isinstance(error, requests.exceptions.SSLError):
        return Unavailable(f"{message}: {_untrusted(host, cause)}")
    if isinstance(error, OSError) and "CA certificate bundle" in str(error):
        return Unavailable(f"{message}: {_files() or error}. Name one that is there, or unset it.")
    why = f"the name {host} is not known here" if isinstance(cause, NameResolutionError) else cause
    if isinstance(error, requests.exceptions.Timeout) or isinstance(why, TimeoutError):
        return Unavailable(
            f"{message}: {host} did not answer within {READ_S} s ({CONNECT_S} s to connect). Is "
            f"there a firewall in between? {_mirror()}"
        )
    return Unavailable(
        f"{message}: {why}. Check the network; finished downloads are kept. {_mirror()}"
    )


def _untrusted(host: str | None, cause: BaseException) -> str:
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"{host} does not speak TLS as it should ({cause}). Is the URL's port right, and is it "
            f"`https`? Repositories are set in {MIRROR}."
        )
    why = cause.verify_message or str(cause)
    if "expired" in why or "not yet valid" in why:
        return f"{host} has a certificate out of its time ({why}). Is this machine's clock right?"
    if "match" in why.lower():
        return (
            f"{host} has a certificate for another name ({why}). A proxy in between, or a wrong "
            f"URL? Repositories are set in {MIRROR}."
        )
    files = f" Now {_files()}." if _files() else ""
    return (
        f"the certificate of {host} is not trusted here ({why}). Where a company's proxy or mirror "
        "signs with a certificate of its own, put its CA into the system's store, or name the file "
        "that holds it (PEM): export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt, or "
        f"REQUESTS_CA_BUNDLE.{files}"
    )


def _files() -> str:
    """Return the CA files that the environment names, and whether they exist."""
    named = [(name, os.environ[name]) for name in CA_VARIABLES if os.environ.get(name)]
    return ", ".join(
        f"{name} is {file}" + ("" if Path(file).exists() else ", which does not exist")
        for name, file in named
    )


def _proxy() -> str:
    proxies = requests.utils.get_environ_proxies("https://repo.maven.apache.org")
    proxy = proxies.get("https") or proxies.get("all") or "not set"
    return (
        f"HTTPS_PROXY is {without_credentials(proxy)}; it has the form "
        "http://user:password@host:port. Hosts that need no proxy go into NO_PROXY."
    )


def _mirror() -> str:
    return (
        f"Behind a proxy set HTTPS_PROXY; a mirror goes into {MIRROR}; without a network, copy the "
        "Maven repository of a machine where `riverrun up` has run."
    )


def without_credentials(url: str) -> str:
    """Return a URL without its credentials."""
    before, _, after = url.rpartition("@")
    return f"{before.partition('//')[0]}//***@{after}" if before else url


def _root(error: BaseException) -> BaseException:
    """Return the cause beneath the exceptions of requests and urllib3."""
    inner = getattr(error, "reason", None)
    if not isinstance(inner, BaseException):
        inner = next((part for part in error.args if isinstance(part, BaseException)), None)
    inner = inner or error.__cause__ or error.__context__
    return error if inner is None or isinstance(error, NameResolutionError) else _root(inner)
