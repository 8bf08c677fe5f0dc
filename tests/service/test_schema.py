"""Whatever the API's own description allows and forbids is answered, and never by a failure."""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from agentmem import Memory
from agentmem.service.app import create_app
from agentmem.service.settings import Settings

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = settings(
    max_examples=250 if os.environ.get("AGENTMEM_TESTS") == "thorough" else 3,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_fails(memory: Memory, mode: GenerationMode) -> None:
    memory.add(["I like tea.", "The boiler code is 7714."], user_id="ana", metadata={"n": 1})
    memory.add(" ".join(f"word{n}" for n in range(400)), user_id="bo")
    app = create_app(memory, Settings(hosts=None, rate=1e9))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 12
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not any(
            (operation.body, operation.query, operation.path_parameters)
        ):
            continue  # nothing can be wrong

        @EXAMPLES
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS, headers={"Host": "127.0.0.1"})

        ask()
