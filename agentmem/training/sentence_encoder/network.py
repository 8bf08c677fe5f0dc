"""A BERT-like sentence encoder as one graph: token ids of one text to its embedding."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SentenceNetwork(nn.Module):
    """The states of a BERT, averaged and normalized, as sentence-transformers computes them.

    One text at a time needs neither padding nor masks, which the graph therefore lacks.
    """

    def __init__(self, bert: Any) -> None:
        """Take over the weights of a ``BertModel`` of transformers, in evaluation mode."""
        super().__init__()
        self.bert = bert
        self.heads = int(bert.config.num_attention_heads)

    def forward(self, ids: Tensor) -> Tensor:
        """Embedding (K,), unit norm, of token ids (1, T)."""
        tables = self.bert.embeddings
        tokens = ids.shape[1]
        states = tables.word_embeddings(ids) + tables.position_embeddings.weight[None, :tokens]
        states = tables.LayerNorm(states + tables.token_type_embeddings.weight[0])
        for layer in self.bert.encoder.layer:
            attention = layer.attention
            mixed = self._attend(attention.self, states).reshape(states.shape)
            output = attention.output
            states = output.LayerNorm(output.dense(mixed) + states)
            inner = F.gelu(layer.intermediate.dense(states))
            states = layer.output.LayerNorm(layer.output.dense(inner) + states)
        return F.normalize(states.mean(1), dim=-1)[0]

    def _attend(self, layer: Any, states: Tensor) -> Tensor:
        """Attention of every token to all tokens: (1, T, heads, H / heads)."""
        query, key, value = (
            part(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (layer.query, layer.key, layer.value)
        )
        scores: Tensor = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        mixed: Tensor = (scores.softmax(-1) @ value).transpose(1, 2)
        return mixed


def check_bert(config: Any) -> str | None:
    """Why an encoder of this configuration cannot be exported; None if it can."""
    if config.model_type != "bert":
        return f"it is a {config.model_type!r}, and only 'bert' is supported"
    if config.hidden_act != "gelu":
        return f"its activation is {config.hidden_act!r}, and only 'gelu' is supported"
    return None


def max_difference(network: SentenceNetwork, ids: Tensor) -> float:
    """The largest difference from the embedding that the original computes of token ids (1, T)."""
    with torch.no_grad():
        states = network.bert(input_ids=ids).last_hidden_state
        wanted = F.normalize(states.mean(1), dim=-1)[0]
        return float((network(ids) - wanted).abs().max())
