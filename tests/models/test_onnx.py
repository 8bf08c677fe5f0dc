"""ONNX graphs: what they compute, on one thread, in forked children, and which are refused.

``tests/data/onnx/product.onnx`` is ``x @ [[0, 1], [2, 3], [4, 5]]``.
"""

from __future__ import annotations

import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.onnx import OnnxSession
from tests.support.saved import assert_silent

GRAPH = Path(__file__).parents[1] / "data" / "onnx" / "product.onnx"
FACTOR = np.arange(6, dtype=np.float32).reshape(3, 2)

# The threads of a process before and after a graph runs, and what a child that it forks computes.
IN_A_CHILD = """
import os, sys
import numpy as np, onnxruntime
from agentmem.models.onnx import OnnxSession

before = len(os.listdir("/proc/self/task"))
session = OnnxSession(sys.argv[1])
rows = np.ones((500, 3), dtype=np.float32)
(here,) = session.run(x=rows)
assert len(os.listdir("/proc/self/task")) == before
child = os.fork()
if not child:
    (there,) = session.run(x=rows)
    os._exit(0 if np.array_equal(here, there) else 3)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def session() -> OnnxSession:
    return OnnxSession(GRAPH)


def test_it_computes_for_every_number_of_rows(session: OnnxSession) -> None:
    assert (session.inputs, session.outputs) == (("x",), ("product",))
    for rows in (1, 7):
        x = np.random.default_rng(rows).random((rows, 3), dtype=np.float32)
        (product,) = session.run(x=x)
        assert product.dtype == np.float32
        np.testing.assert_allclose(product, x @ FACTOR, rtol=1e-6)


def test_several_threads_may_run_it(session: OnnxSession) -> None:
    inputs = [np.full((50, 3), number, dtype=np.float32) for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        products = list(pool.map(lambda x: session.run(x=x)[0], inputs))
    for x, product in zip(inputs, products, strict=True):
        np.testing.assert_array_equal(product, x @ FACTOR)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
def test_it_starts_no_thread_and_a_forked_child_goes_on() -> None:
    assert_silent(IN_A_CHILD, GRAPH)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no ONNX graph at .*none.onnx"):
        OnnxSession(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"no graph", GRAPH.read_bytes()[:-40]])
def test_a_file_that_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "torn.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot load .*torn.onnx"):
        OnnxSession(tmp_path / "torn.onnx")


def test_weights_from_outside_its_folder_are_not_read(tmp_path: Path) -> None:
    """A graph may be from anybody, and name any file of the machine as its weights."""
    onnx = pytest.importorskip("onnx")
    make, kinds = onnx.helper, onnx.TensorProto
    (tmp_path / "secret").write_bytes(np.ones(4, dtype=np.float32).tobytes())
    (tmp_path / "model").mkdir()
    for location in ("../secret", str(tmp_path / "secret")):
        weights = onnx.TensorProto(
            name="w", data_type=kinds.FLOAT, dims=[4], data_location=kinds.EXTERNAL
        )
        for key, value in (("location", location), ("offset", "0"), ("length", "16")):
            weights.external_data.add(key=key, value=value)
        graph = make.make_graph(
            [make.make_node("Add", ["x", "w"], ["sum"])],
            "sum",
            [make.make_tensor_value_info("x", kinds.FLOAT, [4])],
            [make.make_tensor_value_info("sum", kinds.FLOAT, [4])],
            [weights],
        )
        made = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
        file = tmp_path / "model" / "sum.onnx"
        file.write_bytes(made.SerializeToString())
        with pytest.raises(ModelError, match="cannot load"):
            OnnxSession(file)


def test_a_graph_that_asks_for_more_memory_than_there_may_be_fails_when_it_runs(
    tmp_path: Path, session: OnnxSession
) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    size = helper.make_tensor("size", kinds.INT64, [1], [2**31])  # 8 GiB of float32
    nodes = [
        helper.make_node("Constant", [], ["size"], value=size),
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceMax", ["huge"], ["zero"], keepdims=0),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, kinds.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph(nodes, "bomb", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "bomb.onnx")
    bomb = OnnxSession(tmp_path / "bomb.onnx")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Exception, match="smaller than requested"):
        bomb.run(x=np.ones(1, dtype=np.float32))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB
    (product,) = session.run(x=np.ones((1, 3), dtype=np.float32))
    np.testing.assert_array_equal(product, np.ones((1, 3), dtype=np.float32) @ FACTOR)
