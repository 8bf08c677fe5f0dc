"""The public names: sorted, complete, documented, and the same for type checkers."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import agentmem

# What has a docstring of its own: not the two values.
NAMES = [name for name in agentmem.__all__ if name not in ("__version__", "ANY")]


def test_exports_are_sorted_and_complete() -> None:
    assert agentmem.__all__ == sorted(agentmem.__all__)
    assert agentmem.__all__ == sorted([*agentmem._HOMES, "__version__"])
    assert dir(agentmem) == agentmem.__all__


def test_type_checkers_see_the_same_exports() -> None:
    tree = ast.parse(Path(agentmem.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == agentmem._HOMES


@pytest.mark.parametrize("name", NAMES)
def test_exports_are_the_definitions_of_their_modules_and_documented(name: str) -> None:
    thing = getattr(agentmem, name)
    assert thing is getattr(importlib.import_module(agentmem._HOMES[name]), name)
    assert thing.__name__ == name
    assert thing.__doc__
    assert not thing.__doc__.startswith(f"{name}(")  # what a dataclass says for want of a docstring


@pytest.mark.parametrize("name", NAMES)
def test_every_public_method_is_documented_and_annotated(name: str) -> None:
    kind = getattr(agentmem, name)
    for member, value in vars(kind).items():
        if member.startswith("_"):
            continue
        function = inspect.unwrap(getattr(value, "fget", None) or getattr(value, "__func__", value))
        if inspect.isfunction(function):
            assert inspect.getdoc(getattr(kind, member)), f"{name}.{member}"
            assert "return" in function.__annotations__, f"{name}.{member}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'agentmem' has no attribute 'Memry'"):
        _ = agentmem.Memry


def test_errors_are_all_in_one_place() -> None:
    from agentmem import errors
    from agentmem_storage import errors as storage_errors

    for module in (errors, storage_errors):
        for name, kind in vars(module).items():
            if inspect.isclass(kind) and issubclass(kind, Exception):
                assert issubclass(kind, agentmem.AgentMemError)
                assert getattr(errors, name) is kind
                assert name in errors.__all__
                assert kind.__doc__
