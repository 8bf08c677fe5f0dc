"""A local test server that speaks the chat protocols of OpenAI, Anthropic, Google and Ollama."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OPENAI_KEY = "sk-openai-0123456789abcdef"
ANTHROPIC_KEY = "sk-ant-0123456789abcdef"
GOOGLE_KEY = "AIza0123456789abcdef"


@dataclass
class Seen:
    """A request that the server got; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Scripted:
    """A fixed reply, whatever the request."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    # Bytes are sent one by one, with a pause after each.
    drip_s: float = 0.0


class FakeLLM(ThreadingHTTPServer):
    """Checks requests as the real servers do, and replies with what was scripted.

    Attributes:
        text: What the model says.
        models: The models that it has.
        keyless: Whether it lets everybody in, like a local server.
        scripted: What to reply instead, if anything.
        queue: What to reply before that, one for each request.
        silent: Whether to send nothing until the test is over.
        seen: The requests so far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.text = "At 9:40 [#1]."
        self.models = ["tiny"]
        self.keyless = False
        self.scripted: Scripted | None = None
        self.queue: deque[Scripted] = deque()
        self.silent = False
        self.over = threading.Event()
        self.seen: list[Seen] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: FakeLLM

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._respond(None)

    def do_POST(self) -> None:
        self._respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _respond(self, body: Any) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(Seen(self.path, headers, body))
        if self.server.silent:
            self.server.over.wait(30)
            return
        queue = self.server.queue
        reply = queue.popleft() if queue else self.server.scripted or self._reply(headers, body)
        self.send_response(reply.status)
        for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if not reply.drip_s:
            self.wfile.write(reply.body)
            return
        for byte in reply.body:
            self.wfile.write(bytes([byte]))
            if self.server.over.wait(reply.drip_s):
                return

    def _reply(self, headers: dict[str, str], body: Any) -> Scripted:
        if self.path == "/v1/models":
            listed = [{"id": name, "object": "model"} for name in self.server.models]
            return json_reply(200, {"object": "list", "data": listed})
        if self.path == "/v1/chat/completions":
            return self._chat_completion(headers, body)
        if self.path == "/v1/messages":
            return self._message(headers, body)
        if self.path.startswith("/v1beta/models/"):
            return self._generated(headers, body)
        return Scripted(404, b"404 page not found", {"Content-Type": "text/plain"})

    def _chat_completion(self, headers: dict[str, str], body: Any) -> Scripted:
        def error(status: int, kind: str, message: str) -> Scripted:
            said = {"message": message, "type": kind, "param": None, "code": None}
            return json_reply(status, {"error": said})

        if not self.server.keyless and headers.get("authorization") != f"Bearer {OPENAI_KEY}":
            key = headers.get("authorization", "").removeprefix("Bearer ")
            said = (
                f"Incorrect API key provided: {key}." if key else "You didn't provide an API key."
            )
            return error(401, "invalid_request_error", said)
        if unknown := set(body) - {"model", "messages", "stream"}:
            return error(400, "invalid_request_error", f"Unsupported parameter: {unknown}")
        if body["model"] not in self.server.models:
            said = f"The model `{body['model']}` does not exist or you do not have access to it."
            return error(404, "invalid_request_error", said)
        if [message["role"] for message in body["messages"]] != ["system", "user"]:
            return error(400, "invalid_request_error", "Conversation roles must alternate")
        return completion({"content": self.server.text})

    def _message(self, headers: dict[str, str], body: Any) -> Scripted:
        def error(status: int, kind: str, message: str) -> Scripted:
            return json_reply(
                status,
                {"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"},
            )

        if headers.get("x-api-key") != ANTHROPIC_KEY and not self.server.keyless:
            return error(401, "authentication_error", "invalid x-api-key")
        if "anthropic-version" not in headers:
            said = "anthropic-version: header is required"
            return error(400, "invalid_request_error", said)
        if not isinstance(body.get("max_tokens"), int):
            return error(400, "invalid_request_error", "max_tokens: Field required")
        if body["model"] not in self.server.models:
            return error(404, "not_found_error", f"model: {body['model']}")
        if [message["role"] for message in body["messages"]] != ["user"]:
            return error(400, "invalid_request_error", 'messages: Unexpected role "system"')
        return json_reply(
            200,
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": body["model"],
                "content": [
                    {"type": "thinking", "thinking": "The train.", "signature": "x"},
                    {"type": "text", "text": self.server.text},
                ],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 9, "output_tokens": 5},
            },
        )

    def _generated(self, headers: dict[str, str], body: Any) -> Scripted:
        if headers.get("x-goog-api-key") != GOOGLE_KEY:
            said = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}
            return json_reply(400, {"error": said})
        model, method = self.path.removeprefix("/v1beta/models/").split(":")
        if model not in self.server.models or method != "generateContent":
            said = {"code": 404, "message": f"{self.path} is not found", "status": "NOT_FOUND"}
            return json_reply(404, {"error": said})
        assert body["contents"]
        return generated({"text": self.server.text})


def json_reply(status: int, reply: object) -> Scripted:
    """A reply in JSON."""
    return Scripted(status, json.dumps(reply).encode())


def generated(*parts: dict[str, Any]) -> Scripted:
    """A reply of Google's API with these parts."""
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}
    reply = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "tiny"}
    return json_reply(200, reply)


def response(*output: dict[str, Any]) -> Scripted:
    """A reply of OpenAI's Responses API with these items."""
    return json_reply(
        200,
        {
            **{"id": "resp_1", "object": "response", "created_at": 1780000000, "model": "tiny"},
            **{"status": "completed", "output": output, "tools": [], "parallel_tool_calls": True},
            **{"tool_choice": "auto", "error": None, "incomplete_details": None},
            **{"instructions": None, "metadata": {}, "temperature": 1.0, "top_p": 1.0},
        },
    )


def said(text: str) -> dict[str, Any]:
    """A message of the Responses API."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "m1", "type": "message", "role": "assistant", "status": "completed"}
    return {**message, "content": content}


def message_stream(text: str) -> Scripted:
    """A reply of Anthropic's messages API as a stream."""
    message = {
        **{"id": "msg_1", "type": "message", "role": "assistant", "model": "tiny", "content": []},
        **{"stop_reason": None, "stop_sequence": None},
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }
    delta = {"type": "text_delta", "text": text}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    body = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)
    return Scripted(200, body.encode(), {"Content-Type": "text/event-stream"})


def completion(message: dict[str, Any]) -> Scripted:
    """A reply of OpenAI's chat completions with that message."""
    message = {"role": "assistant", "content": None, "refusal": None, **message}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json_reply(
        200,
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1780000000,
            "model": "tiny",
            "choices": [choice],
            "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
        },
    )


@contextmanager
def fake_llm() -> Iterator[FakeLLM]:
    """A running server, which is stopped afterwards."""
    with FakeLLM() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()
