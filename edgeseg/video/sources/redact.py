"""Addresses without what nobody may read: user names and passwords, tokens and keys."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+")
_WORD = re.compile(r"\"[^\"]*\"|'[^']*'|[^\s!\"'=]+")
"""In a GStreamer pipeline: a quoted text, or what stands between blanks, ! and =."""
_SETTING = re.compile(r"([^?&;#\s=!\"']+)=(\"[^\"]*\"|'[^']*'|[^&;#\s!\"']*)")
"""`name=value` of a query, or a property of a GStreamer element."""
_SECRET = re.compile(r"(?i)pass|pwd|psw|pw$|token|key|secret|sig|auth|cred|session|sid$|user|usr|login|jwt|code$")
"""Found in the names of settings that hold a secret."""


def redact(uri: str) -> str:
    """The address with `***` for user and password before the host, and for settings such as `token=` and `key=`.

    For any address, also a malformed one, and for GStreamer pipelines that hold one. It hides too much rather than too
    little: all up to the last @, since passwords with / and @ are in use; each setting whose name sounds like a secret,
    or whose value holds an @, both also percent-encoded. A path without a colon before its @ stays as it is.
    """
    if uri.lower().startswith("gst:"):
        return _SETTING.sub(_hide_setting, _WORD.sub(lambda word: _hide_user(word[0]), uri))
    return _SETTING.sub(_hide_setting, _hide_user(uri))


def _hide_user(text: str) -> str:
    quote = text[0] if text[:1] in ("'", '"') else ""
    bare = text.strip(quote) if quote else text
    found = _SCHEME.match(bare)
    scheme = found[0] if found else ""
    user, at, rest = bare[len(scheme) :].rpartition("@")
    if not at and scheme:  # percent-encoded, the @ too
        host, slash, path = bare[len(scheme) :].partition("/")
        user, at, rest = (host, "@", slash + path) if "@" in unquote(unquote(host)) else ("", "", host + slash + path)
    if not at or not (scheme or ":" in unquote(user)):
        return text
    return f"{quote}{scheme}{HIDDEN}@{rest}{quote}"


def _hide_setting(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    plain = unquote(unquote(value)).replace(f"{HIDDEN}@", "")
    return f"{name}={HIDDEN}" if _SECRET.search(unquote(name)) or "@" in plain else match[0]
