"""A causal language model that reads memories in place of their tokens.

The language model itself is not changed: slot attention joins through forward hooks behind its
layers, positions through ``inputs_embeds``. So any Hugging Face causal model will do, with its own
generation, cache and adapters (peft).

Shapes: B rows in G groups (the rows of a group read the same memories), N memories, T tokens,
s dims of a slot, H hidden size of the language model.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.generation.configuration_utils import GenerationConfig, GenerationMode
from transformers.utils.generic import ModelOutput

from agentmem.errors import InputError, ModelError
from agentmem.models.reader.adapter import SlotAdapter
from agentmem.models.reader.attention import SlotAttention, SlotMaker, SlotMemory, Sought
from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reader.positions import PositionMaker
from agentmem.models.reader.slots import Slots

IGNORED = -100


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Memories as the language model will read them; made once, read by every token after it.

    Attributes:
        slots: Of the route slots: keys and values.
        embeds: Of the route positions: input embeddings (G, P, H).
        mask: Of the route positions: bool (G, P).
    """

    slots: SlotMemory | None = None
    embeds: Tensor | None = None
    mask: Tensor | None = None


@dataclass
class ReadingOutput(ModelOutput):
    """What a pass over texts gives; what is not among these would be lost between processes.

    Attributes:
        loss: Mean cross-entropy where labels are, nats, scalar; None without labels.
        logits: (B, T, V), of the text's positions only.
        missed: The mean negative log of the attention that the heads of an attending layer give
            to what is sought, nats, scalar; None if nothing is sought, or no layer attends.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    missed: Tensor | None = None


class ReadingModel(nn.Module):
    """A language model and what lets it read memories."""

    def __init__(
        self,
        lm: PreTrainedModel,
        adapter: SlotAdapter,
        config: ReaderConfig,
        labels: Sequence[Sequence[int]],
    ) -> None:
        """Put them together; the new parts are fresh.

        Args:
            lm: Any causal language model.
            adapter: From slots to embeddings of its width.
            config: The route and its sizes.
            labels: What each memory is called, ids of the language model.

        Raises:
            ModelError: the language model has no layers that could be found, or fewer than the
                configuration names.
        """
        super().__init__()
        self.lm, self.adapter, self.config = lm, adapter, config
        # peft generates with the model that it wraps, not through its own forward.
        bare: Any = lm if isinstance(lm, PreTrainedModel) else lm.get_base_model()
        self._takes_places = "position_ids" in inspect.signature(bare.forward).parameters
        self._reading: SlotMemory | None = None
        self._places: Tensor | None = None
        self._sought: Sought | None = None
        self._found: list[Tensor] = []
        # Of each attending layer, where it has just read; None where that does not count.
        self._trails: dict[str, Tensor] | None = None
        table = token_table(lm)
        adapter.to(table.device)
        with table.device:
            if config.route == "positions":
                self.positions = PositionMaker(table.shape[1], config)
                return
            layers = decoder_layers(lm)
            chosen = config.layers
            if chosen is None:
                chosen = sorted({len(layers) // 3, 2 * len(layers) // 3})
            if max(chosen) >= len(layers):
                raise ModelError(
                    f"layers={chosen!r}: the language model has {len(layers)}, counted from 0"
                )
            self.maker = SlotMaker(table.shape[1], config)
            self.register_buffer("labels", _tails(labels, config.span), persistent=False)
            # Some models embed tokens in fewer dims than their states have.
            states = lm.config.get_text_config().hidden_size
            self.attention = nn.ModuleDict({str(n): SlotAttention(states, config) for n in chosen})
        bare.register_forward_pre_hook(self._note_places, with_kwargs=True)
        for at in chosen:
            layers[at].register_forward_hook(self._behind(str(at)))

    @property
    def own_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and weights that are not the language model's."""
        return ((n, p) for n, p in self.named_parameters() if not n.startswith("lm."))

    def prepare(self, memory: Slots | None) -> Prepared | None:
        """Turn slots into what the language model reads; None stays None."""
        if memory is None:
            return None
        made = self.adapter(memory, self.lm.get_input_embeddings())
        if self.config.route == "positions":
            embeds, mask = self.positions(made, memory.lengths)
            return Prepared(embeds=embeds, mask=mask)
        ids = cast("Tensor", self.labels)[: made.shape[1]]
        labels = self.lm.get_input_embeddings()(ids.clamp(min=0))
        return Prepared(slots=self.maker(made, memory.lengths, labels, ids >= 0))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        memory: Slots | None = None,
        labels: Tensor | None = None,
        sought: Sought | None = None,
    ) -> ReadingOutput:
        """One pass over texts, each reading its group's memories.

        Args:
            input_ids: int64 (B, T).
            attention_mask: bool or int64 (B, T).
            memory: Slots of G groups; B is a multiple of G.
            labels: int64 (B, T), -100 where no loss is taken.
            sought: Where to read, of the route slots.
        """
        prepared = self.prepare(memory)
        inputs = self.inputs(input_ids, attention_mask, prepared)
        with self.reading(prepared, onward=not self.training):
            self._sought, self._found = sought, []
            try:
                logits = self.lm(**inputs, use_cache=False).logits[:, -input_ids.shape[1] :]
                missed = None
                if sought is not None and self._found:
                    missed = _missed(torch.stack(self._found), sought.counts)
            finally:
                self._sought, self._found = None, []
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(),
                labels[:, 1:].flatten(),
                ignore_index=IGNORED,
            )
        return ReadingOutput(loss=loss, logits=logits, missed=missed)

    def inputs(
        self, input_ids: Tensor, attention_mask: Tensor, prepared: Prepared | None
    ) -> dict[str, Tensor]:
        """What the language model, or its ``generate``, is called with."""
        mask = attention_mask.long()
        inputs = {"input_ids": input_ids}
        if prepared is not None and prepared.embeds is not None and prepared.mask is not None:
            each = _rows_each(len(input_ids), len(prepared.embeds))
            embeds = prepared.embeds.repeat_interleave(each, dim=0)
            before = prepared.mask.long().repeat_interleave(each, dim=0)
            words = self.lm.get_input_embeddings()(input_ids)
            inputs = {"inputs_embeds": torch.cat([embeds.to(words.dtype), words], dim=1)}
            mask = torch.cat([before, mask], dim=1)
        inputs["attention_mask"] = mask
        if self._takes_places:
            inputs["position_ids"] = _places(mask)
        return inputs

    @torch.no_grad()
    def generate(
        self, input_ids: Tensor, attention_mask: Tensor, memory: Prepared | None, **arguments: Any
    ) -> Tensor:
        """What `transformers` generates after prompts, reading memories all the while.

        Args:
            input_ids: Prompts, int64 (B, T), padded on the left.
            attention_mask: (B, T).
            memory: From `prepare`, of G groups.
            **arguments: For the language model's ``generate``. Where texts are exchanged or tokens
                guessed ahead (beam search, assistants), no position reads on from the one before.

        Returns:
            New ids only, int64 (B, new).

        Raises:
            InputError: B is no multiple of G; or tokens are to be guessed ahead of input
                embeddings, where transformers loses count.
        """
        inputs: dict[str, Any] = self.inputs(input_ids, attention_mask, memory)
        guess = {"assistant_model", "prompt_lookup_num_tokens"} & arguments.keys()
        if guess and "inputs_embeds" in inputs:
            raise InputError(
                f"{guess.pop()} does not go with memories at positions: leave it out, or take a "
                f"reader with ReaderConfig(route='slots')"
            )
        inputs.pop("position_ids", None)  # generate counts them from the mask
        with self.reading(memory, onward=self._goes_on(arguments)):
            made: Tensor = self.lm.generate(**inputs, **arguments)  # type: ignore[operator]
        # Prompts given as ids come back before the answer, embeddings do not.
        return made[:, input_ids.shape[1] :] if "input_ids" in inputs else made

    @contextmanager
    def reading(self, memory: Prepared | None, *, onward: bool = True) -> Iterator[None]:
        """Let the language model's own calls read memories, inside the block.

        Args:
            memory: From `prepare`.
            onward: Whether each position reads on from the one before, see `SlotAttention.follow`.
                A call that does not begin its texts must then go on where the last has ended, with
                the same rows.
        """
        before, trails = self._reading, self._trails
        self._reading = None if memory is None else memory.slots
        self._trails = {} if onward else None
        try:
            yield
        finally:
            self._reading, self._trails, self._places = before, trails, None

    def _goes_on(self, arguments: Mapping[str, Any]) -> bool:
        """Whether ``generate`` will go on token by token, and not drop or exchange any."""
        config, own = GenerationConfig(), self.lm.generation_config
        for one in (own, arguments.get("generation_config")):
            if one is not None:
                # What is not set leaves what the model has set.
                config.update(**{k: v for k, v in one.to_dict().items() if v is not None})
        config.update(**arguments)
        mode = config.get_generation_mode(arguments.get("assistant_model"))
        token_by_token = mode in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)
        return token_by_token and "custom_generate" not in arguments

    def _note_places(self, lm: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Where in its text each position of this call stands, (B, T)."""
        if self._reading is None:
            return
        given = args[0] if args else kwargs.get("input_ids")
        given = kwargs["inputs_embeds"] if given is None else given
        rows, length = given.shape[:2]
        _rows_each(rows, len(self._reading.keys))
        mask, past = kwargs.get("attention_mask"), kwargs.get("past_key_values")
        begin = 0 if past is None else int(past.get_seq_length())
        if kwargs.get("position_ids") is not None:
            self._places = kwargs["position_ids"]
        elif mask is not None:
            # A cache of fixed size has a mask that is longer than the texts are so far.
            stop = mask.shape[1] if past is None else begin + length
            self._places = _places(mask)[:, :stop][:, -length:]
        else:  # nothing is padded
            self._places = torch.arange(begin, begin + length, device=given.device)[None]

    def _behind(self, name: str) -> Any:
        """The hook behind one layer."""

        def hook(layer: nn.Module, args: Any, output: Any) -> Any:
            if self._reading is None or self._places is None:
                return output
            states = output[0] if isinstance(output, tuple) else output
            attention = cast("SlotAttention", self.attention[name])
            if self._sought is not None:
                found = attention.found(states, self._reading, self._places, self._sought)
                self._found.append(found)
            if self._trails is None:
                states = attention(states, self._reading, self._places)
            else:
                states, self._trails[name] = attention.follow(
                    states, self._reading, self._places, self._trails.get(name)
                )
            return (states, *output[1:]) if isinstance(output, tuple) else states

        return hook


def token_table(lm: PreTrainedModel) -> Tensor:
    """The token embedding of a language model, (V, H)."""
    return cast("nn.Embedding", lm.get_input_embeddings()).weight


def room_of(lm: PreTrainedModel) -> int | None:
    """Positions that a language model has; None if its configuration names no end."""
    room: int | None = getattr(lm.config.get_text_config(), "max_position_embeddings", None)
    return room


def decoder_layers(lm: PreTrainedModel) -> Sequence[nn.Module]:
    """The layers of a language model, the first first.

    Raises:
        ModelError: it keeps them in no list.
    """
    count = getattr(lm.config.get_text_config(), "num_hidden_layers", 0)
    for module in lm.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count > 0:
            return list(module)
    raise ModelError(
        f"{type(lm).__name__} has no list of its {count} layers: take the route 'positions'"
    )


def _tails(labels: Sequence[Sequence[int]], span: int) -> Tensor:
    """The last ids of each label, int64 (N, span), -1 where it has fewer."""
    tails = [list(ids)[-span:] for ids in labels]
    return torch.tensor([[-1] * (span - len(tail)) + tail for tail in tails])


def _missed(found: Tensor, counts: Tensor) -> Tensor:
    """Shares (layers, B, Q, heads) of attention to how far they are from all, nats, scalar."""
    nats = -found.mean(-1).clamp(min=1e-6).log()
    return (nats * counts).sum() / (counts.sum().clamp(min=1) * len(found))


def _places(mask: Tensor) -> Tensor:
    """Tokens before each one, int64 (B, T): padding takes no place."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)


def _rows_each(rows: int, groups: int) -> int:
    if groups == 0 or rows % groups:
        raise InputError(f"{rows} texts cannot share {groups} groups of memories evenly")
    return rows // groups
