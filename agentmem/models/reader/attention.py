"""Reading by slot attention: some layers of a language model also attend to memory slots.

What is unusual here:
- memory takes no position of the decoder, and no feed-forward layer ever sees it: its cost is one
  key and one value per slot, shared by all heads and layers.
- the key of a slot tells of the slots before it too. One layer is then enough to go on with a
  text from its last few tokens, which otherwise takes two (an induction head).
- it tells of the slots around it as well, by their mean: what a question asks about is seldom in
  the words just before its answer.
- each memory stands behind a label ("Memory 7:"), words before its first slot: to go on from the
  label is to begin the memory. It ends with an edge, so that its end can be seen.
- keys and values tell which memory a slot is in and where: what one layer has read tells the next
  layer where to read on.
- an empty slot with a key of its own takes the attention that nothing deserves.
- while it writes, a reader reads on where it has read: a slot counts the more, the more attention
  the slot before it had a position ago. Text repeats itself, and the last few tokens do not tell
  one row of a table from the next; where they were read does. The attention is then a forward pass
  over where in the memories the text may be. Training does without: its positions are parallel.
- gates start at zero: the language model starts as it was.

Method: gated cross-attention as in Flamingo (arXiv 2204.14198) and RETRO (arXiv 2112.04426); one
key and value for all heads as in multi-query attention (arXiv 1911.02150); attention that knows
where it has been as in Chorowski et al. (arXiv 1506.07503).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agentmem.models.reader.configuration import ReaderConfig

_ROPE_BASE = 1_000.0
# By how much a slot counts more if all attention was on the slot before it; chosen on dev texts
# (examples/benchmarks/LOG.md).
READING_ON = 1_000.0


@dataclass(frozen=True, slots=True, eq=False)
class SlotMemory:
    """What the layers attend to, computed once per reading.

    S = N (T + 1) + 1 slots: the tokens of N memories, each with its closing edge, and an empty one.

    Attributes:
        keys: (G, S, width).
        values: (G, S, width).
        mask: bool (G, S), False on padding.
        led: bool (G, S), whether the slot before it is of the same memory.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor
    led: Tensor

    def nbytes(self) -> int:
        """Bytes of all keys and values: what a reading keeps in place of a KV cache of memories."""
        return int(self.keys.nbytes + self.values.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class Sought:
    """What some positions of a text should read, for training.

    Attributes:
        at: Positions in the text, int64 (B, Q).
        slots: What each of them seeks, bool (B, Q, S).
        counts: bool (B, Q), False on padding.
    """

    at: Tensor
    slots: Tensor
    counts: Tensor


class SlotMaker(nn.Module):
    """Embeddings of slots to keys and values."""

    def __init__(self, hidden_size: int, config: ReaderConfig) -> None:
        super().__init__()
        self.span, self.rope_dims = config.span, config.rope_dims
        named = config.width - config.rope_dims
        self.content = nn.Linear(hidden_size, config.width, bias=False)
        self.start = nn.Parameter(torch.randn(config.width))
        self.end = nn.Parameter(torch.randn(config.width))
        self.key = nn.Linear((config.span + 1) * config.width, named, bias=False)
        self.near = nn.Linear(config.width, named, bias=False)
        self.around = config.around
        tag = config.width + config.rope_dims  # the label's mean content, and the place
        self.key_tag = nn.Linear(tag, named, bias=False)
        self.value_tag = nn.Linear(tag, config.width, bias=False)
        self.place = nn.Parameter(torch.ones(config.rope_dims))
        self.empty = nn.Parameter(torch.zeros(config.width))

    def forward(
        self, embeddings: Tensor, lengths: Tensor, labels: Tensor, labelled: Tensor
    ) -> SlotMemory:
        """Memories to keys and values.

        Args:
            embeddings: Of their slots, (G, N, T, H).
            lengths: Tokens of each, int64 (G, N).
            labels: Embeddings of the last tokens of each label, (N, span, H).
            labelled: Where a label has so many tokens, bool (N, span).
        """
        groups, _, longest, _ = embeddings.shape
        # Contents have a scale and precision of their own, whatever the language model's.
        content, before = self._contents(embeddings), self._contents(labels)
        content = F.pad(content, (0, 0, 0, 1))
        at = torch.arange(longest + 1, device=lengths.device)
        inside, closing = at < lengths[..., None], at == lengths[..., None]
        content = torch.where(inside[..., None], content, torch.zeros_like(content))
        content = torch.where(closing[..., None], self.end.to(content.dtype), content)
        before = torch.where(labelled[..., None], before, self.start.to(before.dtype))
        padded = torch.cat([before.expand(groups, -1, -1, -1), content], dim=2)
        shifted = [
            padded[:, :, self.span - back : self.span - back + longest + 1]
            for back in range(self.span + 1)
        ]
        named = self.key(torch.cat(shifted, dim=-1))  # (G, N, T + 1, width - rope_dims)
        named = named + self.near(self._means(content * inside[..., None]))
        place = turn(self.place.expand(longest + 1, -1), at).to(named.dtype)
        tags = self._tags(before, place)  # (N, T + 1, width + rope_dims)
        named, values = named + self.key_tag(tags), content + self.value_tag(tags)
        keys = torch.cat([named, place.expand(*named.shape[:-1], -1)], dim=-1)
        exists = (inside | closing) & (lengths[..., None] > 0)
        nothing = torch.zeros_like(content[:, :1, 0])
        return SlotMemory(
            keys=torch.cat([keys.flatten(1, 2), self.empty.to(keys.dtype) + nothing], dim=1),
            values=torch.cat([values.flatten(1, 2), nothing], dim=1),
            mask=F.pad(exists.flatten(1, 2), (0, 1), value=True),
            led=F.pad((exists & (at > 0)).flatten(1, 2), (0, 1), value=False),
        )

    def _tags(self, labels: Tensor, places: Tensor) -> Tensor:
        """Contents of labels (N, span, width) and places (T + 1, P) to (N, T + 1, width + P)."""
        named = F.rms_norm(labels.mean(1), labels.shape[-1:])
        count, longest = len(named), len(places)
        return torch.cat(
            [named[:, None].expand(-1, longest, -1), places.expand(count, -1, -1)], dim=-1
        )

    def _means(self, content: Tensor) -> Tensor:
        """The mean content around each slot, (G, N, T + 1, width), of one size everywhere."""
        rows = content.flatten(0, 1).transpose(1, 2)
        means = F.avg_pool1d(rows, 2 * self.around + 1, stride=1, padding=self.around)
        return F.rms_norm(means.transpose(1, 2), content.shape[-1:]).view_as(content)

    def _contents(self, embeddings: Tensor) -> Tensor:
        """Embeddings (..., H) to contents (..., width)."""
        embeddings = embeddings.to(self.content.weight.dtype)
        contents: Tensor = self.content(F.rms_norm(embeddings, embeddings.shape[-1:]))
        return contents


class SlotAttention(nn.Module):
    """What one layer of a language model adds to its states from memory."""

    def __init__(self, hidden_size: int, config: ReaderConfig) -> None:
        super().__init__()
        self.heads, self.rope_dims = config.heads, config.rope_dims
        self.norm = nn.RMSNorm(hidden_size, eps=1e-5)
        self.query = nn.Linear(hidden_size, config.heads * config.width, bias=False)
        self.out = nn.Linear(config.heads * config.width, hidden_size, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, states: Tensor, memory: SlotMemory, places: Tensor) -> Tensor:
        """States (B, T, H) at places (B, T) of the text, after reading."""
        rows, length, _ = states.shape
        groups, _, width = memory.keys.shape
        # The rows of a group, their places and all heads ask the same keys.
        query = self._queries(states, places).reshape(groups, 1, -1, width)
        read = F.scaled_dot_product_attention(
            query,
            memory.keys[:, None].to(query.dtype),
            memory.values[:, None].to(query.dtype),
            attn_mask=memory.mask[:, None, None],
        )
        return self._added(states, read.reshape(rows, length, self.heads * width))

    def follow(
        self, states: Tensor, memory: SlotMemory, places: Tensor, trail: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, one position after the other, each reading on from the one before.

        Args:
            states: (B, T, H).
            memory: Of G groups; B is a multiple of G.
            places: Of the positions in their texts, (B, T) or (1, T); nothing was read before
                place 0.
            trail: The attention of the position before these, float32 (B, heads, S); None at the
                beginning. One of other rows or slots is of other texts, and left aside.

        Returns:
            The states after reading, and the attention of the last position.
        """
        rows, length, _ = states.shape
        groups, slots, width = memory.keys.shape
        query = self._queries(states, places)
        keys, values = memory.keys.to(query.dtype).mT, memory.values.to(query.dtype)
        begun = (places > 0).expand(rows, length)[..., None, None]
        led = memory.led.repeat_interleave(rows // groups, dim=0)[:, None]
        if trail is None or trail.shape != (rows, self.heads, slots):
            trail = torch.zeros(rows, self.heads, slots, device=states.device)
        read = []
        for at in range(length):
            scores = query[:, at].reshape(groups, -1, width) @ keys
            scores = scores.float().masked_fill(~memory.mask[:, None], -torch.inf) * width**-0.5
            onward = F.pad(trail[..., :-1], (1, 0)) * (led & begun[:, at])
            scores = scores.view_as(trail) + torch.log1p(READING_ON * onward)
            trail = scores.softmax(-1)
            read.append(trail.to(query.dtype).view(groups, -1, slots) @ values)
        together = torch.stack([one.view(rows, -1) for one in read], dim=1)
        return self._added(states, together), trail

    def found(self, states: Tensor, memory: SlotMemory, places: Tensor, sought: Sought) -> Tensor:
        """How much of its attention each head gives to what is sought, (B, Q, heads)."""
        groups, slots, width = memory.keys.shape
        at = sought.at
        rows = torch.arange(len(at), device=at.device)[:, None]
        # A place that all rows share has one row.
        queries = self._queries(states[rows, at], places.expand(len(at), -1)[rows, at])
        scores = queries.reshape(groups, -1, width) @ memory.keys.to(queries.dtype).mT
        scores = scores.float().masked_fill(~memory.mask[:, None], -torch.inf) * width**-0.5
        shares = scores.softmax(-1).view(*at.shape, self.heads, slots)
        given: Tensor = (shares * sought.slots[:, :, None]).sum(-1)
        return given

    def _added(self, states: Tensor, read: Tensor) -> Tensor:
        """States (B, T, H) with what all heads have read, (B, T, heads * width)."""
        added: Tensor = torch.tanh(self.gate) * self.out(read)
        return states + added.to(states.dtype)

    def _queries(self, states: Tensor, places: Tensor) -> Tensor:
        """States (B, T, H) at places (B, T) or (1, T) to queries (B, T, heads, width)."""
        x = self.norm(states.to(self.norm.weight.dtype))
        query = self.query(x).unflatten(-1, (self.heads, -1))
        turned = turn(query[..., -self.rope_dims :], places[..., None])
        return torch.cat([query[..., : -self.rope_dims], turned.to(query.dtype)], dim=-1)


def turn(x: Tensor, places: Tensor) -> Tensor:
    """Rotate (..., P) vectors by their places (...): rotary positions."""
    width = x.shape[-1]
    steps = torch.arange(0, width, 2, device=x.device, dtype=torch.float32) / width
    angles = places[..., None] * _ROPE_BASE**-steps
    cos, sin = angles.cos(), angles.sin()
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
