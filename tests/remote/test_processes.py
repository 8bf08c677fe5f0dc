"""A `RemoteMemory` in other processes.

Children of a fork shared the connection of their parent, and each read what was answered to
another: one user's memories were given to another one.
"""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
import threading

import pytest

from agentmem import Memory
from agentmem.errors import ServiceError
from agentmem.remote import RemoteMemory
from agentmem.remote.client import Client
from tests.support.service import running

# A server that answers with what it was asked, on connections that stay open.
PARENT = """
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from agentmem.remote.client import Client

class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())
    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
client = Client(f"http://127.0.0.1:{server.server_port}", None, 60)
assert client.ask("GET", "/v1/parent") == b"/v1/parent"
pipes = []
for child in range(4):
    reading, writing = os.pipe()
    if os.fork() == 0:
        wrong = []
        for number in range(40):
            path = f"/v1/{child}-{number}"
            try:
                answer = client.ask("GET", path)
            except Exception as error:
                answer = repr(error).encode()
            if answer != path.encode():
                wrong.append(answer.decode())
        os.write(writing, json.dumps(wrong[:5]).encode())
        os._exit(0)
    os.close(writing)
    pipes.append(reading)
wrong = [json.loads(open(pipe).read()) for pipe in pipes]
wrong.append([] if client.ask("GET", "/v1/after") == b"/v1/after" else ["parent"])
print(json.dumps(wrong))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_children_of_a_fork_have_connections_of_their_own() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PARENT],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[]] * 5


def test_it_can_be_sent_to_another_process(memory: Memory) -> None:
    memory.add("Marta lives in Porto.", user_id="ana")
    with running(memory) as url, RemoteMemory(url, token="t" * 20, require=("user_id",)) as remote:
        for held in (remote, remote.scoped(user_id="ana")):
            with pickle.loads(pickle.dumps(held)) as sent:
                assert [hit.text for hit in sent.recall("Marta", user_id="ana")] == [
                    "Marta lives in Porto."
                ]


def test_an_error_of_the_protocol_tells_nothing_of_the_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b'{"text": "secret of Ana"}\r\n\r\n')

        thread = threading.Thread(target=answer)
        thread.start()
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", None, 60)
        with pytest.raises(ServiceError, match="gave none of HTTP") as caught:
            client.ask("GET", "/v1/count")
        thread.join()
        client.close()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
