"""The map of slots is fitted such that sentences about one topic are alike."""

from __future__ import annotations

import numpy as np

from benchmarks.supersession.slots import DIMS, Topic, fit_map

K = 160


def test_what_varies_within_a_topic_counts_less_than_what_tells_topics_apart() -> None:
    rng = np.random.default_rng(0)

    def sentences(center: np.ndarray, count: int) -> np.ndarray:
        # The last half of the dims is the value, and louder than the topic.
        made = np.zeros((count, K), dtype=np.float32)
        made[:, : K // 2] = center + 0.1 * rng.standard_normal((count, K // 2))
        made[:, K // 2 :] = 2 * rng.standard_normal((count, K // 2))
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    topics = []
    for number in range(12):
        center = rng.standard_normal(K // 2)
        topics.append(
            Topic(
                str(number), *(sentences(center, 6) for _ in range(3)), *[sentences(0 * center, 4)]
            )
        )
    notes = sentences(np.zeros(K // 2), 300)
    made = fit_map(topics, notes)
    assert made.shape == (DIMS, K)
    unseen = rng.standard_normal(K // 2)
    pair = sentences(unseen, 2)

    def cosine(rows: np.ndarray) -> float:
        one, two = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return float(one @ two)

    assert cosine(pair @ made.T) > cosine(pair)
