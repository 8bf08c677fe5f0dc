"""Teacher embeddings: independent of the batch, and computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from agentmem.errors import ConfigError
from agentmem.training.embedder.teacher import find_teacher, teacher_embeddings
from tests.support.training import make_teacher

WORDS = ("train", "oslo", "nine", "day", "ana", "village", "market", "bo", "red", "boat", "lamp")
# Of all lengths, and out of order: they are padded, and sorted, on the way.
TEXTS = [
    "yes",
    "the train to oslo leaves at nine and comes back the day after",
    "ana is in the village",
    "no",
    "the market " * 40,
    "",
    *(
        f"{one} and " * (place % 5 + 1) + other
        for place, one in enumerate(WORDS)
        for other in WORDS
    ),
]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_teacher(tmp_path_factory.mktemp("teacher"))


@torch.no_grad()
def one_by_one(teacher: Path) -> NDArray[np.float32]:
    """Means of the last states of each text by itself, in float32, at unit norm."""
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    model = AutoModel.from_pretrained(teacher, dtype=torch.float32).train(False)
    rows = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
        mean = model(**ids).last_hidden_state[0].mean(0)
        rows.append((mean / mean.norm()).numpy())
    return np.stack(rows)


def test_vectors_are_those_of_each_text_alone(teacher: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = teacher_embeddings(
        TEXTS, teacher, tmp_path, progress=lambda done, of: seen.append((done, of))
    )
    assert (found.dtype, found.shape) == (np.float16, (len(TEXTS), 32))
    wide = found.astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(wide, axis=1), 1, atol=2e-3)
    expected = one_by_one(teacher)
    assert (wide * expected).sum(1).min() > 0.999
    # No two are the same: a row in another's place would be seen.
    assert (wide @ expected.T).argmax(1).tolist() == list(range(len(TEXTS)))
    assert seen == [(len(TEXTS), len(TEXTS))]


def test_they_are_computed_once(teacher: Path, tmp_path: Path) -> None:
    kept = teacher_embeddings(TEXTS[:5], teacher, tmp_path)
    weights = teacher / "model.safetensors"
    away = weights.rename(teacher / "away")
    try:
        seen: list[int] = []
        again = teacher_embeddings(
            TEXTS[:5], teacher, tmp_path, progress=lambda done, of: seen.append(done)
        )
        assert again.tobytes() == kept.tobytes()
        assert seen == []
        # Other texts, or the same in another order, are something else.
        for texts in (TEXTS[:4], TEXTS[4::-1]):
            with pytest.raises(OSError, match="model.safetensors"):
                teacher_embeddings(texts, teacher, tmp_path)
    finally:
        away.rename(weights)
    assert [path.suffix for path in tmp_path.iterdir() if path.suffix != ".part"] == [".npy"]


def test_a_truncated_cache_is_rebuilt(teacher: Path, tmp_path: Path) -> None:
    whole = teacher_embeddings(TEXTS[:3], teacher, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.with_suffix(".part").write_bytes(kept.read_bytes()[:50])
    kept.unlink()
    assert teacher_embeddings(TEXTS[:3], teacher, tmp_path).tobytes() == whole.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]


class TestFinding:
    def test_a_folder(self, teacher: Path) -> None:
        assert find_teacher(str(teacher)) == teacher

    def test_an_installed_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = tmp_path / "carries_a_teacher"
        (package / "model").mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('it need not be imported')")
        (package / "model" / "config.json").write_text("{}")
        monkeypatch.syspath_prepend(tmp_path)
        assert find_teacher("carries_a_teacher") == package / "model"

    @pytest.mark.parametrize(
        "name", ["nowhere", "not/here", "sentence-transformers/all-MiniLM-L6-v2", "json", "tests"]
    )
    def test_there_is_none(self, name: str) -> None:
        with pytest.raises(ConfigError, match=f"no teacher {name!r}: give the folder of a"):
            find_teacher(name)
