"""What docstrings, comments and pages refer to is there, also after a file was moved."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "agentmem": ROOT / "agentmem",
    "agentmem_cli": ROOT / "cli" / "agentmem_cli",
    "agentmem_storage": ROOT / "storage" / "agentmem_storage",
    "benchmarks": ROOT / "benchmarks",
}
REFERENCE = re.compile(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)(?:\(\))?`")
# These tell what was.
PAST = {"CHANGELOG.md", "LOG.md"}


@cache
def defined(module: Path) -> frozenset[str]:
    """What a module defines or imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            found |= {one.asname or one.name for one in node.names}
    return frozenset(found)


def leads_somewhere(reference: str) -> bool:
    package, *names = reference.split(".")
    place = PACKAGES[package]
    while names and (place / names[0]).is_dir():
        place /= names.pop(0)
    module = place / "__init__.py"
    if names and (place / f"{names[0]}.py").is_file():
        module = place / f"{names.pop(0)}.py"
    return all(name in defined(module) for name in names[:1])


def pages() -> list[Path]:
    folders = (*PACKAGES.values(), *(ROOT / name for name in ("docs", "examples", "tests")))
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [
        path
        for path in (*found, *ROOT.glob("*.md"))
        if path.suffix in {".py", ".md"} and path.name not in PAST
    ]


def test_references_lead_somewhere() -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), reference)
        for path in pages()
        for reference in REFERENCE.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 200
    assert [one for one in found if not leads_somewhere(one[1])] == []


def test_a_reference_that_leads_nowhere_is_noticed() -> None:
    assert leads_somewhere("agentmem_storage.store.Store.snapshot")
    assert leads_somewhere("agentmem.Memory")
    assert not leads_somewhere("agentmem_storage.stores")
    assert not leads_somewhere("agentmem_storage.store.Stores")
