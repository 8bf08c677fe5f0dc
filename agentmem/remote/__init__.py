"""`RemoteMemory`: the verbs of `Memory` over HTTP, asked of a service that ``agentmem serve`` runs.

::

    from agentmem.remote import RemoteMemory

    with RemoteMemory("http://127.0.0.1:7717", token="...") as mem:
        mem.add("Booked the 9:40 to Lyon", user_id="ana")
        mem.recall("when is my train?", user_id="ana")[0].text

Arguments, results and errors are those of `Memory`. What fails because of the network, a token or a
limit raises `agentmem.errors.ServiceError`. It needs the extra ``remote``.
"""

from __future__ import annotations

from agentmem.remote.memory import RemoteMemory

__all__ = ["RemoteMemory"]
