"""Resolves a spec such as "openai:MODEL" to a server: its URL, model and API key."""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.parse import urlsplit

from agentmem.chat.servers import Server
from agentmem.errors import AgentMemError, AnswererError, ConfigError, InputError
from agentmem_storage.text import shown

_MAX_TIMEOUT_S = 24 * 3600


def find_server(spec: str, *, api_key: str | None, timeout_s: float) -> Server:
    """Resolve a spec to a server and model; see `agentmem.chat.answerers.connect`."""
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)):
        raise TypeError(f"timeout_s must be a number, not {shown(timeout_s)}")
    if not 0 < timeout_s <= _MAX_TIMEOUT_S:
        raise InputError(f"timeout_s={timeout_s!r} must be above 0 and at most {_MAX_TIMEOUT_S}")
    if spec.startswith(("http://", "https://")):
        return _at_url(spec, api_key, timeout_s)
    provider, _, model = spec.partition(":")
    if provider not in _PROVIDERS or not model.strip():
        raise InputError(
            f"unknown language model {spec!r}: 'openai:MODEL', 'anthropic:MODEL', 'ollama:MODEL', "
            "or the URL of an OpenAI-compatible server, 'URL#MODEL'"
        )
    return _PROVIDERS[provider](spec, model.strip(), api_key, timeout_s)


def _at_url(spec: str, api_key: str | None, timeout_s: float) -> Server:
    url, _, model = spec.partition("#")
    return Server(
        spec=spec,
        base=_bare_or_versioned(_checked_url(url, "the URL", InputError)),
        model=model.strip() or None,
        protocol="openai",
        # OPENAI_API_KEY must not go to any server that happens to speak the protocol.
        key=_checked_key(api_key, "api_key", InputError) if api_key else None,
        key_from="api_key=..., or 'openai:MODEL' with OPENAI_BASE_URL and OPENAI_API_KEY",
        timeout_s=timeout_s,
    )


def _openai(spec: str, model: str, api_key: str | None, timeout_s: float) -> Server:
    base = _base("OPENAI_BASE_URL", "https://api.openai.com/v1")
    return Server(
        spec=spec,
        base=_bare_or_versioned(base),
        model=model,
        protocol="openai",
        key=_key(spec, api_key, "OPENAI_API_KEY", needed=not _env("OPENAI_BASE_URL")),
        key_from="OPENAI_API_KEY or api_key=...",
        timeout_s=timeout_s,
    )


def _anthropic(spec: str, model: str, api_key: str | None, timeout_s: float) -> Server:
    base = _base("ANTHROPIC_BASE_URL", "https://api.anthropic.com").removesuffix("/messages")
    return Server(
        spec=spec,
        base=_versioned(base),
        model=model,
        protocol="anthropic",
        key=_key(spec, api_key, "ANTHROPIC_API_KEY", needed=not _env("ANTHROPIC_BASE_URL")),
        key_from="ANTHROPIC_API_KEY or api_key=...",
        timeout_s=timeout_s,
    )


def _ollama(spec: str, model: str, api_key: str | None, timeout_s: float) -> Server:
    url = _ollama_url(_env("OLLAMA_HOST"))
    return Server(
        spec=spec,
        base=_versioned(_checked_url(url, "OLLAMA_HOST", ConfigError)),
        model=model,
        protocol="openai",
        key=_checked_key(api_key, "api_key", InputError) if api_key else None,
        key_from="api_key=...",
        timeout_s=timeout_s,
        start="start it with `ollama serve`, or set OLLAMA_HOST",
    )


_PROVIDERS: dict[str, Callable[[str, str, str | None, float], Server]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "ollama": _ollama,
}


def _env(name: str) -> str:
    return os.environ.get(name, "").strip()


def _base(variable: str, default: str) -> str:
    return _checked_url(_env(variable) or default, variable, ConfigError)


def _key(spec: str, api_key: str | None, variable: str, *, needed: bool) -> str | None:
    if api_key:
        return _checked_key(api_key, "api_key", InputError)
    if key := _env(variable):
        return _checked_key(key, variable, ConfigError)
    if needed:
        raise AnswererError(f"{spec} needs an API key: set {variable}, or give api_key=...")
    return None


def _checked_key(key: str, source: str, kind: type[AgentMemError]) -> str:
    key = key.strip()
    if not (key.isascii() and key.isprintable()) or " " in key or not key:
        raise kind(f"the key in {source} has characters that no API key has: copy it again")
    return key


def _checked_url(url: str, source: str, kind: type[AgentMemError]) -> str:
    """An http(s) address without a trailing slash."""
    try:
        parts = urlsplit(url)
        ok = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        ok = False
    if "@" in url or "?" in url:
        # The URL is not shown: these parts may contain secrets.
        raise kind(f"{source} has a user name, a password or a query: leave them out")
    if not ok or not (url.isascii() and url.isprintable()) or " " in url:
        raise kind(f"{source} is {url!r}, which is not an http(s) address")
    return url.rstrip("/").removesuffix("/chat/completions")


def _versioned(base: str) -> str:
    return base if base.endswith("/v1") else base + "/v1"


def _bare_or_versioned(base: str) -> str:
    # A path such as "/api/v1" or "/v1beta/openai" is kept as it is, as the OpenAI clients do.
    return base if urlsplit(base).path else base + "/v1"


def _ollama_url(host: str) -> str:
    """OLLAMA_HOST as Ollama reads it: scheme and port are optional, and so is the host."""
    scheme, has_scheme, rest = host.partition("://")
    if not has_scheme:
        scheme, rest = "http", host
    authority, slash, path = rest.partition("/")
    name, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        name, port = authority, "" if has_scheme else "11434"
    # A wildcard address to listen on is not an address to connect to.
    name = "127.0.0.1" if name in ("", "0.0.0.0", "[::]") else name
    return f"{scheme}://{name}{':' + port if port else ''}{slash}{path}"
