"""Lines of the answers of OpenAI's and Anthropic's batches: one answer each, or why there is none.

What was asked is in another file. The answer names its request, which is not said in the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

_FIRST_ERROR = 400


def batch_answer(item: Mapping[str, Any], skipped: Counter[str]) -> list[Any] | None:
    """The answer in a line of a batch; None if it is none.

    Args:
        item: A dict.
        skipped: Counts requests that failed, were canceled or have expired.
    """
    if not isinstance(item.get("custom_id"), str):
        return None
    result, response = item.get("result"), item.get("response")
    if isinstance(result, Mapping) and isinstance(result.get("type"), str):
        if result["type"] == "succeeded" and "message" in result:
            return [result["message"]]
        skipped[f"{result['type']} request"] += 1
        return []
    if isinstance(response, Mapping) and isinstance(response.get("body"), Mapping):
        status = response.get("status_code")
        if not isinstance(status, int) or status < _FIRST_ERROR:
            return [response["body"]]
    elif not isinstance(item.get("error"), Mapping):
        return None
    skipped["errored request"] += 1
    return []
