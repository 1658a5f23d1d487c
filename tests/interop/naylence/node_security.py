"""What the environment says of security, for the three scripts beside this file.

The variables are those of the kit's own configurations: `FAME_SECURITY_PROFILE`, `FAME_ADMISSION_PROFILE`, and for the
admission profile `direct` `FAME_ADMISSION_TOKEN_URL`, `_CLIENT_ID`, `_CLIENT_SECRET` and `FAME_JWT_AUDIENCE`. One is
ours: `INTEROP_TOKEN`, a token to show as it is instead of one from a token server.
"""

import os

Json = dict[str, object]


def security() -> Json:
    """Build the `security` section."""
    return {"type": "SecurityProfile", "profile": os.environ.get("FAME_SECURITY_PROFILE", "open")}


def admission(url: str = "") -> Json:
    """Build an `admission` section: a named profile, or a token of one's own.

    Args:
        url: where to attach; "" for that of `FAME_DIRECT_ADMISSION_URL`.
    """
    profile = os.environ.get("FAME_ADMISSION_PROFILE", "open")
    url = url or os.environ.get("FAME_DIRECT_ADMISSION_URL", "")
    if profile != "direct":
        return {"type": "AdmissionProfile", "profile": profile}
    grant: Json = {"type": "WebSocketConnectionGrant", "purpose": "node.attach", "url": url, "ttl": 0, "durable": False}
    grant["auth"] = {"type": "WebSocketSubprotocolAuth", "token_provider": token_provider()}
    return {"type": "DirectAdmissionClient", "connection_grants": [grant]}


def peer(url: str) -> Json:
    """Build an entry of `peers`: without a token as the kit's examples do, with one where the profile wants it."""
    if os.environ.get("FAME_ADMISSION_PROFILE", "open") != "direct":
        return {"direct_url": url}
    return {"admission": admission(url)}


def token_provider() -> Json:
    """Build what gives the token: the environment itself, else a token server."""
    if token := os.environ.get("INTEROP_TOKEN"):
        return {"type": "StaticTokenProvider", "token": token}
    return {
        "type": "OAuth2ClientCredentialsTokenProvider",
        "token_url": os.environ["FAME_ADMISSION_TOKEN_URL"],
        "client_id": os.environ["FAME_ADMISSION_CLIENT_ID"],
        "client_secret": os.environ["FAME_ADMISSION_CLIENT_SECRET"],
        "scopes": ["node.connect"],
        "audience": os.environ["FAME_JWT_AUDIENCE"],
    }
