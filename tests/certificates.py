"""TLS contexts of an authority that only a test knows."""

import ssl
from typing import Any

import trustme


class Authority:
    """Vouches for servers.

    Attributes:
        trusting: The context of a client that trusts it.
    """

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.trusting = ssl.create_default_context()
        self._authority.configure_trust(self.trusting)

    def server(self, *names: str, **options: Any) -> ssl.SSLContext:
        """Return the context of a server, with a new certificate; options as for `trustme.CA.issue_cert()`."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(*names or ("127.0.0.1",), **options).configure_cert(context)
        return context
