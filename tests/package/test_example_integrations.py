"""The examples that need a model or a server run, against one on the loopback interface."""

from __future__ import annotations

import ast
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.llm import (
    ANTHROPIC_KEY,
    OPENAI_KEY,
    FakeLLM,
    completion,
    fake_llm,
    message_stream,
    response,
    said,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
FACT = "My sister Marta lives in Porto."
ASKED = "Where does my sister Marta live?"
MOST_LINES = 40


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeLLM]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_llm() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
        monkeypatch.setenv("OPENAI_MODEL", "tiny")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", ANTHROPIC_KEY)
        monkeypatch.setenv("ANTHROPIC_MODEL", "tiny")
        server.scripted = completion({"content": "In Porto."})
        yield server


def run(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    return runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_openai_loop(
    llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("openai_loop.py", monkeypatch)
    assert capsys.readouterr().out.endswith(f"ana: {ASKED}\nbot: In Porto.\n")
    memories, question = llm.seen[-1].body["messages"]
    assert FACT in memories["content"]
    assert question["content"] == ASKED


def test_anthropic_loop(
    llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    llm.scripted = message_stream("In Porto.")
    run("anthropic_loop.py", monkeypatch)
    assert capsys.readouterr().out.endswith(f"ana: {ASKED}\nbot: In Porto.\n")
    assert FACT in str(llm.seen[-1].body["messages"])


def test_langgraph_agent(
    llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("langgraph")
    run("langgraph_agent.py", monkeypatch)
    assert capsys.readouterr().out.endswith(f"ana: {ASKED}\nbot: In Porto.\n")
    first, second = (one.body["messages"][0]["content"] for one in llm.seen)
    assert first == FACT
    assert FACT in second


def test_openai_agents(
    llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("agents")
    call = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "search_memory"}
    looked_up = {**call, "arguments": json.dumps({"query": ASKED}), "status": "completed"}
    llm.queue.extend([response(said("Noted.")), response(looked_up), response(said("In Porto."))])
    run("openai_agents.py", monkeypatch)
    assert capsys.readouterr().out.endswith(f"ana: {ASKED}\nbot: In Porto.\n")
    assert [one.path for one in llm.seen] == ["/v1/responses"] * 3
    assert llm.seen[1].body["input"] == [{"role": "user", "content": ASKED}]
    assert FACT in llm.seen[2].body["input"][-1]["output"]


def test_mcp_client() -> None:
    pytest.importorskip("mcp")
    command = [sys.executable, str(EXAMPLES / "mcp_client.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    tools, *results = done.stdout.splitlines()
    assert {"remember", "recall", "forget"} <= set(re.findall(r"\w+", tools))
    assert results == ["recalled: The boiler code is 7714.", "forgotten: 1"]


def test_local_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from tests.support.language_models import save_lm

    run("local_model.py", monkeypatch, str(save_lm(tmp_path / "lm")))
    assert re.match(r"2 memories in \d{2,} positions of the cache\n", capsys.readouterr().out)


def test_long_document(
    llm: FakeLLM,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    clauses = [f"{n}. The supplier delivers part number {n * 77} on day {n}." for n in range(200)]
    clauses[120] = "120. This contract ends on 31 December 2027."
    contract = tmp_path / "contract.md"
    contract.write_text("\n\n".join(clauses), encoding="utf-8")

    question = "When does the contract end?"
    run("long_document.py", monkeypatch, str(contract), question)
    (shown,) = (one.body["messages"][-1]["content"] for one in llm.seen)
    assert len(shown) < len(contract.read_text()) / 2
    cited = re.search(r"\[#(\d+)\][^#]*31 December 2027", shown)
    assert cited is not None
    llm.scripted = completion({"content": f"On 31 December 2027. [#{cited[1]}]"})
    capsys.readouterr()
    run("long_document.py", monkeypatch, str(contract), question)
    answer = capsys.readouterr().out
    assert "answer: On 31 December 2027.\n" in answer
    start, end = map(int, re.findall(r"characters (\d+) to (\d+)", answer)[0])
    assert "31 December 2027" in contract.read_text()[start:end]


def test_from_mem0(
    llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("from_mem0.py", monkeypatch)
    first, *_, changed, deleted = capsys.readouterr().out.splitlines()
    assert "I am vegan, and allergic to nuts." in first
    assert changed == "Ana plays the viola on Thursdays."
    assert "deleted" in deleted
    assert llm.seen == []


def test_fastapi_app(llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    testclient = pytest.importorskip("fastapi.testclient")
    monkeypatch.setenv("AGENTMEM_STORE", str(tmp_path / "store"))
    app = run("fastapi_app.py", monkeypatch)["app"]

    def turn(user: str, session: str, text: str) -> Any:
        body = {"session_id": session, "text": text}
        return client.post("/chat", json=body, headers={"X-User": user})

    with testclient.TestClient(app) as client:
        assert turn("ana", "monday", FACT).json() == {"reply": "In Porto."}
        turn("bo", "monday", "My sister Marta lives in Rome.")
        turn("ana", "friday", ASKED)
        assert FACT in str(llm.seen[-1].body["messages"])
        assert "Rome" not in str(llm.seen[-1].body["messages"])
        assert client.post("/chat", json={"session_id": "x", "text": "y"}).status_code == 422
        assert client.delete("/memories", headers={"X-User": "ana"}).json() == {"forgotten": 4}
        turn("bo", "friday", ASKED)
        assert "Rome" in str(llm.seen[-1].body["messages"])


def test_the_examples_are_short() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert path.name == "demo.py" or lines_of_code(path) <= MOST_LINES, path.name


def lines_of_code(path: Path) -> int:
    """Lines with code; blank ones, comments and docstrings are not counted."""
    source = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    strings = [
        node.body[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, documented) and ast.get_docstring(node) is not None
    ]
    inside = {n for one in strings for n in range(one.lineno, (one.end_lineno or 0) + 1)}
    lines = enumerate(source.splitlines(), start=1)
    return sum(
        1 for n, line in lines if n not in inside and line.strip() and line.strip()[0] != "#"
    )
