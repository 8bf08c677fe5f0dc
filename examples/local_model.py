"""A language model on this machine reads memories as keys and values, decoded from vectors.

Run it with the folder or the name of a model: ``python examples/local_model.py Qwen/Qwen3-0.6B``.
Each memory is read once, by itself, and takes its place in the cache in front of the question.
"""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from agentmem import Memory

QUESTION = "Which seat did I book?"


def main(name: str) -> None:
    """Store, recall, put the hits into the cache, and let the model answer."""
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(name),
        AutoTokenizer.from_pretrained(name),
    )
    chat = [{"role": "user", "content": f"My notes:\n@@\n{QUESTION}"}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    before, after = prompt.split("@@")
    with Memory(":memory:") as memory:  # a folder in place of ":memory:" keeps it
        memory.add("I booked the 9:40 train to Lyon, seat 23A.")
        memory.add("My sister Marta lives in Porto.")
        context = memory.recall(QUESTION, k=4).pack(max_tokens=400)
        cache = context.to_cache(model, tokenizer=tokenizer, prefix=before)
    question = tokenizer(after, add_special_tokens=False, return_tensors="pt").input_ids
    ids = torch.cat([cache.input_ids, question], dim=1)
    written = model.generate(ids, past_key_values=cache.past_key_values, max_new_tokens=40)
    print(f"{len(context.hits)} memories in {cache.input_ids.shape[1]} positions of the cache")
    print(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "HuggingFaceTB/SmolLM2-360M-Instruct")
