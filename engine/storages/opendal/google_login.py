"""The login of a Google service account: its key signs a claim, which Google's server takes for a token that lasts an hour (RFC 7523).

opendal does the same, but asks for a token anew before each of its requests.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from engine import errors
from engine.clock import Clock

_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 -- an address
_SIGNING: Final = "GOOG4-RSA-SHA256"
_LIFE_S: Final = 3600
_EARLY_S: Final = 300
"""A token is renewed so long before its end: the longest call must still end with it."""
_TIMEOUT_S: Final = 30
_LONGEST_ANSWER_BYTES: Final = 64 << 10
_WHAT: Final = "Google could not be asked for a token"


class ServiceAccount:
    """One account, and its newest token. The tokens are secrets; no message holds one."""

    def __init__(self, credentials: str, clock: Clock) -> None:
        """`credentials` is the JSON file of a key. Raises: ConfigurationError."""
        try:
            told = json.loads(credentials)
            self._account = str(told["client_email"])
            self._key_id = str(told["private_key_id"])
            self._url = str(told.get("token_uri") or _TOKEN_URI)
            key = serialization.load_pem_private_key(str(told["private_key"]).encode(), None)
        except (ValueError, TypeError, LookupError, AttributeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, rsa.RSAPrivateKey) or not self._url.startswith(("https://", "http://127.")):
            raise errors.ConfigurationError(
                "the value of --credentials is no key of a service account",
                hint="it is the JSON file that Google Cloud makes for a service account's key",
            )
        self._key = key
        self._clock = clock
        self._token = ""
        self._until_s = 0.0
        self._turn = asyncio.Lock()

    async def token(self) -> str:
        """A token with some life left. Raises: StorageDeniedError, StorageUnreachableError."""
        async with self._turn:
            if self._clock.monotonic() >= self._until_s:
                claim = self._claim()
                self._token, life_s = await asyncio.to_thread(_exchange, self._url, claim)
                self._until_s = self._clock.monotonic() + max(life_s - _EARLY_S, 0)
            return self._token

    def link(self, endpoint: str, path: str, expires_s: int) -> str:
        """An address under which anybody may read what lies at that path, encoded as it is sent, for so many seconds: a secret."""
        now = self._clock.now().astimezone(datetime.UTC)
        scope = f"{now:%Y%m%d}/auto/storage/goog4_request"
        query = {
            "X-Goog-Algorithm": _SIGNING,
            "X-Goog-Credential": f"{self._account}/{scope}",
            "X-Goog-Date": f"{now:%Y%m%dT%H%M%SZ}",
            "X-Goog-Expires": str(expires_s),
            "X-Goog-SignedHeaders": "host",
        }
        words = urllib.parse.urlencode(query, quote_via=urllib.parse.quote, safe="")
        host = urllib.parse.urlsplit(endpoint).netloc
        asked = "\n".join(("GET", path, words, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"))
        digest = hashlib.sha256(asked.encode()).hexdigest()
        text = "\n".join((_SIGNING, query["X-Goog-Date"], scope, digest))
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()
        return f"{endpoint}{path}?{words}&X-Goog-Signature={signature}"

    def _claim(self) -> str:
        now = int(self._clock.now().timestamp())
        head = {"alg": "RS256", "typ": "JWT", "kid": self._key_id}
        body = {"iss": self._account, "scope": _SCOPE, "aud": self._url, "iat": now, "exp": now + _LIFE_S}
        signed = ".".join(_encoded(json.dumps(each).encode()) for each in (head, body))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _exchange(url: str, claim: str) -> tuple[str, float]:
    """Waits for the answer: to be called in a thread. Gives the token and its life in seconds."""
    form = urllib.parse.urlencode({"grant_type": _GRANT, "assertion": claim}).encode()
    try:
        with urllib.request.urlopen(url, form, timeout=_TIMEOUT_S) as answer:  # noqa: S310 -- the scheme is looked at before
            told = json.loads(answer.read(_LONGEST_ANSWER_BYTES))
            return str(told["access_token"]), float(told["expires_in"])
    except urllib.error.HTTPError as error:
        with error:
            if error.code >= 500 or error.code == 429:
                raise errors.StorageUnreachableError(f"{_WHAT}: HTTP {error.code}") from None
        raise errors.StorageDeniedError(
            f"Google refuses the service account's key: HTTP {error.code}",
            hint="check that the key was not deleted, and that this machine's clock is right",
        ) from None
    except OSError as error:
        raise errors.StorageUnreachableError(f"{_WHAT}: {getattr(error, 'reason', error)}") from None
    except (ValueError, TypeError, LookupError):
        raise errors.StorageUnreachableError(f"{_WHAT}: the answer holds none") from None
