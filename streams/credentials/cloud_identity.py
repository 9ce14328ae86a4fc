"""Tokens of a cloud's own identities: IAM of Amazon MSK, and Entra ID for Azure Event Hubs.

Both come from the cloud's own library, which finds the credentials of the machine, the container
or the person (an instance's role, workload identity, a login), and are extras of the package.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from schemas.errors import ConfigError
from streams.credentials.token import Token, TokenUnavailable

AWS, AZURE = "aws_msk_iam_sasl_signer", "azure.identity"


@dataclass(frozen=True)
class AwsTokens:
    """Signed requests that MSK takes as tokens, for 15 minutes each."""

    region: str

    def fetch(self) -> Token:
        """Sign one; see `TokenSource`."""
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider

        try:
            value, expires_ms = MSKAuthTokenProvider.generate_auth_token(self.region)
        except Exception as error:  # the library's and botocore's own, which share no base
            raise TokenUnavailable(
                f"no AWS credentials for MSK in {self.region}: {type(error).__name__}: {error}"
            ) from None
        return Token(value, expires_ms / 1_000)


@dataclass(frozen=True)
class AzureTokens:
    """Tokens of Entra ID; `scope` names the namespace, `https://NAME.servicebus.windows.net/.default`."""

    scope: str

    def fetch(self) -> Token:
        """Ask Azure; see `TokenSource`."""
        try:
            token = _azure_credential().get_token(self.scope)
        except Exception as error:  # azure.core's, and those of its transport
            raise TokenUnavailable(
                f"no Azure token for {self.scope}: {type(error).__name__}: {str(error)[:400]}"
            ) from None
        return Token(token.token, float(token.expires_on) or time.time())


@lru_cache
def _azure_credential() -> Any:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def require(module: str, extra: str) -> None:
    """Raise `ConfigError`, with what to install, if a cloud's library is missing."""
    try:
        present = find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package
        present = False
    if not present:
        raise ConfigError(
            f"KAFKA_SASL_TOKEN_SOURCE={extra} needs a library that is not installed.",
            hint=f"pip install 'riverrun[{extra}]'.",
        )
