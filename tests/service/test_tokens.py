"""Files of tokens, and where a service may be offered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentmem.errors import ConfigError
from agentmem.service.settings import Settings, allowed_hosts, check_binding
from agentmem.service.tokens import ENVIRONMENT, Tokens, read_tokens

SECRET = "0123456789abcdef" * 2
GOOD = f'[[token]]\nname = "ana"\nsecret = "{SECRET}"\nuser_id = "ana"\n'


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "tokens.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_file_and_the_environment(tmp_path: Path) -> None:
    tokens = read_tokens(written(tmp_path, GOOD), {ENVIRONMENT: SECRET[::-1]})
    ana, all = tokens.find(SECRET), tokens.find(SECRET[::-1])
    assert ana is not None
    assert all is not None
    assert (ana.name, ana.scope) == ("ana", (("user_id", "ana"),))
    assert all.scope == ()
    assert tokens.find(SECRET[:-1]) is None
    assert tokens.find("\ud800") is None
    assert not read_tokens(None, {})
    assert SECRET not in repr(ana)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "token"),
        ("token = 1", "token"),
        ("[[token]", "not TOML"),
        (GOOD + GOOD, "same name"),
        (GOOD + GOOD.replace('"ana"', '"bo"'), "same secret"),
        (GOOD.replace(SECRET, "short"), "fewer than 32 characters"),
        (GOOD.replace(SECRET, " " * 40), "fewer than 32 characters"),
        (GOOD + "admin = true\n", "admin"),
        (GOOD + 'session_id = " "\n', "session_id of token 'ana' is blank"),
        (GOOD + 'session_id = ""\n', "session_id"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_tokens(written(tmp_path, text), {})
    assert SECRET not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="files have no modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="chmod 600"):
        read_tokens(written(tmp_path, GOOD, mode), {})


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_tokens(tmp_path / "none", {})
    with pytest.raises(ConfigError, match="fewer than 32"):
        read_tokens(None, {ENVIRONMENT: ""})


def test_other_machines_need_a_token() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        check_binding(host, Tokens())
    for host in ("0.0.0.0", "::", "192.168.0.2", "memory.example", ""):
        with pytest.raises(ConfigError, match="give tokens"):
            check_binding(host, Tokens())
        check_binding(host, read_tokens(None, {ENVIRONMENT: SECRET}))


def test_names() -> None:
    assert allowed_hosts("0.0.0.0", ()) is None
    assert allowed_hosts("127.0.0.1", ()) == {"127.0.0.1", "::1", "localhost"}
    assert "memory.example" in (allowed_hosts("0.0.0.0", ("Memory.Example",)) or ())


@pytest.mark.parametrize("setting", ["rate", "max_body_bytes", "timeout_s", "workers", "queue"])
def test_limits_are_positive(setting: str) -> None:
    for value in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match=setting):
            Settings(**{setting: value})
