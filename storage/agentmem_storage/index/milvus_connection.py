"""`MilvusConnection`: asks a Milvus, and says in our words what goes wrong."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

from agentmem_storage.errors import InputError, MissingExtraError, StoreError
from agentmem_storage.text import without_password

PREFIX: Final = "milvus+"
_SERVERS = ("http://", "https://")
_FILE = ".db"
_LEAST_WAIT_S = 1.0


class MilvusConnection:
    """A connection that is made when it is needed; safe to use from several threads.

    Args:
        index: As for `agentmem_storage.index.milvus.Milvus`.
        timeout_s: Likewise.

    Raises:
        InputError: It is no address.
        MissingExtraError: pymilvus is not installed; or Milvus Lite, which a file needs.

    Attributes:
        label: The address as it can be shown.
        wait_s: How long to wait for an answer, in seconds.
    """

    def __init__(self, index: str, timeout_s: float) -> None:
        self._address = _address(index)
        self.label = without_password(self._address)
        self.wait_s = max(_LEAST_WAIT_S, timeout_s)
        self._mutex = threading.Lock()
        self._client: Any = None
        # That which made the client, for it works in no other.
        self._process: int | None = None

    def close(self) -> None:
        """Close the connection; another one is made when it is needed."""
        with self._mutex:
            client, self._client = self._client, None
        if client is not None and self._process == os.getpid():
            client.close()

    @contextmanager
    def asking(self, spared: Sequence[int] = ()) -> Iterator[Any]:
        """The client, to ask it something within a block.

        Args:
            spared: Codes of errors that only end the block.

        Raises:
            StoreError: Milvus cannot be reached, or refuses.
        """
        from grpc import FutureTimeoutError, RpcError
        from pymilvus import MilvusException

        _quiet.asking = True
        try:
            yield self._connected()
        except MilvusException as error:
            if error.code not in spared:
                raise self._failed(error.message) from error
        except (RpcError, FutureTimeoutError) as error:
            raise self._failed(str(error)) from error
        finally:
            _quiet.asking = False

    def _connected(self) -> Any:
        from pymilvus import MilvusClient

        if self._process not in (None, os.getpid()):
            raise StoreError(
                f"this process was forked by one that had asked Milvus at {self.label!r}, and "
                f"cannot ask it: fork before the first search, or start processes with 'spawn'"
            )
        with self._mutex:
            if self._client is None:
                self._process = os.getpid()
                for handler in logging.getLogger("pymilvus").handlers:
                    handler.addFilter(_quiet)
                self._client = MilvusClient(
                    self._address,
                    timeout=self.wait_s,
                    dedicated=True,
                    # Or a server that is back would be asked again only after some seconds.
                    grpc_options={"grpc.use_local_subchannel_pool": 1},
                )
            return self._client

    def _failed(self, message: object) -> StoreError:
        if self._address.endswith(_FILE):
            hint = "one process at a time can use a file: give several the address of a server"
        else:
            hint = "start it, or open the store with index='auto'"
        return StoreError(
            f"Milvus at {self.label!r}, which has the embeddings of the store, does not do what it "
            f"is asked ({str(message):.500}); nothing is lost, for the store has them too: {hint}"
        )


def _address(index: str) -> str:
    address = index.removeprefix(PREFIX)
    if not address.startswith(_SERVERS) and not address.endswith(_FILE):
        raise InputError(
            f"{without_password(index)!r:.200} is no index: after {PREFIX!r} stands the address of "
            f"a server, such as 'http://localhost:19530', or the path of a file of Milvus Lite, "
            f"which ends in {_FILE!r}"
        )
    if find_spec("pymilvus") is None:
        raise MissingExtraError(
            "an index in Milvus needs pymilvus: pip install 'latent-agentmem[milvus]'",
            extra="milvus",
        )
    if address.startswith(_SERVERS):
        return address
    if find_spec("milvus_lite") is None:
        raise MissingExtraError(
            "an index in a file needs Milvus Lite: pip install milvus-lite", extra="milvus"
        )
    return os.path.abspath(address)


class _Quiet(logging.Filter):
    """Keeps pymilvus from printing, with a traceback, the errors that are raised as ours."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    @property
    def asking(self) -> bool:
        """Whether this thread asks Milvus something for a store."""
        return getattr(self._local, "asking", False)

    @asking.setter
    def asking(self, asking: bool) -> None:
        self._local.asking = asking

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged."""
        return not self.asking


_quiet = _Quiet()
