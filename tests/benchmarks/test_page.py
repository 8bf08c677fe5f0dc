"""The page's benchmark: a store of copies, and every view of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentmem import Memory
from benchmarks.page import main
from benchmarks.report.tables import render


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_view_is_asked_for(tmp_path: Path) -> None:
    said = [
        {
            "id": str(n),
            "name": "Ana",
            "content": f"Parcel {n} is in room {n}.",
            "at": f"2026-03-0{1 + n // 6}",
        }
        for n in range(12)
    ]
    data, out = tmp_path / "said.jsonl", tmp_path / "results" / "page.json"
    out.parent.mkdir()
    data.write_text(json.dumps({"id": "a", "messages": said, "questions": []}), encoding="utf-8")
    main(data, out, memories=100, again=1, work=tmp_path / "work")
    found = json.loads(out.read_text(encoding="utf-8"))["results"]
    assert (found["memories"], found["scopes"]) == (102, 17)
    assert len({view["view"] for view in found["views"]}) == len(found["views"]) == 11
    assert all(view["first_ms"] > 0 and view["bytes"] > 1000 for view in found["views"])
    assert "memories of a session" in render(out.parent)["page"]
    with Memory(tmp_path / "work" / "store") as memory:
        assert memory.verify().ok
        assert len(tuple(memory.list(user_id="a 003"))) == 12
