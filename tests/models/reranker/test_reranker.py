"""The latent reranker: which inputs affect its scores, and that nothing else does."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agentmem import Memory
from agentmem.errors import ModelError
from agentmem.models.base import Passage, Reranker, View
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.bundle.manifest import write_manifest
from agentmem.models.layers.tensors import pad
from agentmem.models.reranker.configuration import LatentRerankerConfig
from agentmem.models.reranker.modeling import LatentReranker
from agentmem.testing import tiny_bundle

VOCAB = 384
seeds = st.integers(0, 2**32 - 1)


def shaken(model: LatentReranker) -> LatentReranker:
    """As training leaves it: no weight and no bias is what it was at first."""
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.2 * torch.randn(weights.shape, generator=noise))
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def reranker() -> LatentReranker:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"hidden_size": 12, "intermediate_size": 20, "codes": 9}
        return shaken(LatentReranker(LatentRerankerConfig(vocab_size=VOCAB, **sizes)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with a reranker that was shaken."""
    folder = tiny_bundle(tmp_path_factory.mktemp("reranking"))
    part = folder / "reranker"
    shaken(LatentReranker.from_pretrained(part)).save_pretrained(part)
    write_manifest(folder, "shaken")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> ModelBundle:
    return ModelBundle(folder)


@dataclass(frozen=True)
class Case:
    """A question, and candidates with their neighbors among passages; all of them token ids."""

    query: list[int]
    passages: list[list[int]]
    views: list[tuple[int, int, int]]

    def scores(self, reranker: LatentReranker, longer: tuple[int, int] = (0, 0)) -> Tensor:
        """Scores (N,); with so many columns of padding more, of the question and the passages."""
        query, query_mask = wider(*pad([self.query]), longer[0])
        passages, mask = wider(*pad(self.passages), longer[1])
        views = torch.tensor([self.views])
        scores: Tensor = reranker(query, query_mask, passages[None], mask[None], views)[0]
        return scores


def wider(ids: Tensor, mask: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """Padding of ids that mean something elsewhere."""
    filler = torch.arange(20, 20 + by).expand(len(ids), -1)
    return torch.cat([ids, filler], 1), torch.cat([mask, torch.zeros_like(filler).bool()], 1)


def reranker_of(model: ModelBundle) -> Reranker:
    assert model.reranker is not None
    return model.reranker


def case_of(seed: int, *, passages: int = 6, candidates: int = 4) -> Case:
    rng = np.random.default_rng(seed)

    def text() -> list[int]:
        ids: list[int] = rng.integers(8, VOCAB, rng.integers(1, 14)).tolist()
        return ids

    def view() -> tuple[int, int, int]:
        own, before, after = rng.integers(0, passages, 3).tolist()
        return own, before if rng.random() < 0.7 else -1, after if rng.random() < 0.7 else -1

    return Case(text(), [text() for _ in range(passages)], [view() for _ in range(candidates)])


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


class TestForward:
    @given(seed=seeds, longer=st.tuples(st.integers(0, 9), st.integers(0, 9)))
    def test_padding_changes_nothing(
        self, reranker: LatentReranker, seed: int, longer: tuple[int, int]
    ) -> None:
        case = case_of(seed)
        close(case.scores(reranker, longer), case.scores(reranker))

    @given(seed=seeds)
    def test_each_candidate_is_scored_by_itself(self, reranker: LatentReranker, seed: int) -> None:
        case = case_of(seed)
        together = case.scores(reranker)
        for place, view in enumerate(case.views):
            close(replace(case, views=[view]).scores(reranker)[0], together[place])
        close(replace(case, views=case.views[::-1]).scores(reranker), together.flip(0))

    @given(seed=seeds)
    def test_the_order_of_passages_changes_nothing(
        self, reranker: LatentReranker, seed: int
    ) -> None:
        case = case_of(seed)
        last = len(case.passages) - 1
        turned = [tuple(last - at if at >= 0 else -1 for at in view) for view in case.views]
        other = Case(case.query, case.passages[::-1], turned)  # type: ignore[arg-type]
        close(other.scores(reranker), case.scores(reranker))

    @given(seed=seeds)
    def test_only_what_a_candidate_sees_counts(self, reranker: LatentReranker, seed: int) -> None:
        case = case_of(seed)
        scores = case.scores(reranker)
        for unseen in range(len(case.passages)):
            passages = list(case.passages)
            passages[unseen] = [9, 9, 9]
            changed = replace(case, passages=passages).scores(reranker)
            for view, one, other in zip(case.views, scores, changed, strict=True):
                assert unseen in view or float((one - other).abs()) < 1e-5

    def test_all_that_it_sees_counts(self, reranker: LatentReranker) -> None:
        case = Case([30, 31, 32], [[30, 40], [31, 41], [32, 42]], [(0, 1, 2)])
        score = case.scores(reranker)
        views = [(0, 2, 1), (0, -1, 2), (0, 1, -1), (0, -1, -1), (1, 1, 2)]
        others = [replace(case, views=[view]).scores(reranker) for view in views]
        others += [
            replace(case, query=query).scores(reranker)
            for query in ([30, 31], [32, 31, 30], [30, 31, 33])
        ]
        assert all(float((score - other).abs()) > 1e-3 for other in others)

    def test_questions_of_a_batch_do_not_touch(self, reranker: LatentReranker) -> None:
        cases = [case_of(seed) for seed in range(3)]
        query, query_mask = pad([case.query for case in cases])
        flat, flat_mask = pad([row for case in cases for row in case.passages])
        shape = (3, len(cases[0].passages), -1)
        views = torch.tensor([case.views for case in cases])
        together = reranker(query, query_mask, flat.view(shape), flat_mask.view(shape), views)
        for row, case in zip(together, cases, strict=True):
            close(row, case.scores(reranker))

    def test_a_fresh_one_looks_for_the_words_of_the_question(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            fresh = LatentReranker(LatentRerankerConfig(vocab_size=VOCAB)).requires_grad_(False)
        passages = [[200, 201, 202], [30, 210, 31], [220, 221], [230, 30]]
        views = [(at, -1, -1) for at in range(4)]
        scores = Case([30, 31], passages, views).scores(fresh)
        assert scores.argsort(descending=True).tolist()[:2] == [1, 3]
        # What stands beside the words is better than what stands nowhere near.
        beside = Case([30, 31], passages, [(0, 1, -1), (0, 2, -1)]).scores(fresh)
        assert beside[0] > beside[1]

    def test_a_gradient_reaches_every_parameter(self, reranker: LatentReranker) -> None:
        weights = list(reranker.parameters())
        reranker.requires_grad_(True)
        gradients = torch.autograd.grad(case_of(0).scores(reranker).square().sum(), weights)
        reranker.requires_grad_(False)
        assert all(float(gradient.abs().max()) > 0 for gradient in gradients)

    def test_comes_back_from_a_folder(self, reranker: LatentReranker, tmp_path: Path) -> None:
        reranker.tokens.copy_(torch.arange(9))  # type: ignore[operator]
        reranker.save_pretrained(tmp_path)
        assert LatentRerankerConfig.from_pretrained(tmp_path) == reranker.config
        found = LatentReranker.from_pretrained(tmp_path)
        assert all(map(torch.equal, found.parameters(), reranker.parameters()))
        assert found.token_ids(torch.tensor([[3, 8]])).tolist() == [[3, 8]]

    @pytest.mark.parametrize("name", ["vocab_size", "hidden_size", "intermediate_size", "codes"])
    def test_sizes_that_cannot_be(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"{name}=0 must be positive"):
            LatentRerankerConfig(**{name: 0})


class TestOnStoredLatents:
    """`Reranker.rerank`: the same scores, from stored latents."""

    @staticmethod
    def stored(model: ModelBundle, case: Case) -> list[Passage]:
        """The passages as they are stored, the second with a preface."""
        coded = model.encode(case.passages, quantization="fine")
        assert all(one.fidelity == 1 for one in coded)
        return [
            Passage(one.packed, len(ids), (20, 21) if place == 1 else ())
            for place, (one, ids) in enumerate(zip(coded, case.passages, strict=True))
        ]

    @staticmethod
    def seen(case: Case) -> list[View]:
        def place(at: int) -> int | None:
            return None if at < 0 else at

        return [(own, place(before), place(after)) for own, before, after in case.views]

    @given(seed=seeds)
    def test_it_reads_the_tokens_out_of_the_codes(
        self, folder: Path, model: ModelBundle, seed: int
    ) -> None:
        case = case_of(seed)
        passages = [[20, 21, *ids] if at == 1 else ids for at, ids in enumerate(case.passages)]
        network = LatentReranker.from_pretrained(folder / "reranker").requires_grad_(False)
        expected = replace(case, passages=passages).scores(network).numpy()
        found = reranker_of(model).rerank(case.query, self.stored(model, case), self.seen(case))
        assert (found.dtype, found.shape) == (np.dtype(np.float32), (4,))
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)

    def test_mixed_precision_around_it_changes_nothing(self, model: ModelBundle) -> None:
        case = case_of(0)
        given_ = case.query, self.stored(model, case), self.seen(case)
        before = reranker_of(model).rerank(*given_)
        with torch.autocast("cpu", torch.bfloat16):
            assert reranker_of(model).rerank(*given_).tobytes() == before.tobytes()

    @pytest.mark.parametrize(
        "damage",
        [
            lambda one: replace(one, packed=b""),
            lambda one: replace(one, packed=b"\xff" + one.packed[1:]),
            lambda one: replace(one, packed=one.packed[:-1]),
            lambda one: replace(one, tokens=one.tokens + 40),
            lambda one: replace(one, tokens=0),
            lambda one: replace(one, tokens=10_000),
        ],
        ids=["empty", "no quantization", "torn", "too many tokens", "no token", "longer than any"],
    )
    def test_damaged_latents_are_last_and_touch_no_other(
        self, model: ModelBundle, damage: object
    ) -> None:
        assert callable(damage)
        case = Case(
            [30, 31],
            [[30, 40, 31, 50], [31, 41, 42, 43], [32, 42, 30], [33, 43]],
            [(0, 1, 2), (1, 0, 2), (2, 1, 3), (3, -1, 2)],
        )
        passages = self.stored(model, case)
        passages[1] = damage(passages[1])
        scores = reranker_of(model).rerank(case.query, passages, self.seen(case))
        # To those beside it, it is as if nothing had been said.
        alone = replace(case, views=[(0, -1, 2), (1, 0, 2), (2, -1, 3), (3, -1, 2)])
        expected = reranker_of(model).rerank(case.query, self.stored(model, case), self.seen(alone))
        assert scores[1] == -np.inf
        rest = [0, 2, 3]
        np.testing.assert_allclose(scores[rest], expected[rest], atol=1e-5, rtol=1e-5)

    def test_all_of_them_damaged(self, model: ModelBundle) -> None:
        scores = reranker_of(model).rerank(
            [30], [Passage(b"", 3)] * 2, [(0, 1, None), (1, None, 0)]
        )
        assert scores.tolist() == [-np.inf, -np.inf]

    @pytest.mark.parametrize("passages", [0, 2])
    def test_no_candidates(self, model: ModelBundle, passages: int) -> None:
        found = reranker_of(model).rerank([30], [Passage(b"", 3)] * passages, [])
        assert (found.dtype, found.shape) == (np.dtype(np.float32), (0,))

    def test_a_long_question_is_read_up_to_the_longest_chunk(self, model: ModelBundle) -> None:
        case = case_of(0)
        long = list(range(8, 384))
        found, cut = (
            reranker_of(model).rerank(ids, self.stored(model, case), self.seen(case))
            for ids in (long, long[: model.codec.max_tokens])
        )
        assert found.tobytes() == cut.tobytes()

    def test_a_bundle_without_one_says_so(self, folder: Path, tmp_path: Path) -> None:
        bundle = Path(shutil.copytree(folder, tmp_path / "bundle"))
        shutil.rmtree(bundle / "reranker")
        write_manifest(bundle, "plain")
        model, whole = ModelBundle(bundle), ModelBundle(folder)
        assert (model.reranker is None, whole.reranker is None) == (True, False)
        assert model.fingerprint == whole.fingerprint
        with Memory(":memory:", model=model) as memory:
            memory.add("one")
            with pytest.raises(ModelError, match="'plain' comes without a reranker: recall with"):
                memory.recall("one", rerank="latent")
