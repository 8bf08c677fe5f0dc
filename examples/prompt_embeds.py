"""Memories for a server: vLLM takes the embeddings of a prompt in place of its tokens.

The server runs the reader's own language model (with LoRA weights merged into it, if it has any):

    vllm serve MODEL --enable-prompt-embeds

Here a tiny reader that knows nothing stands in, so that the example runs anywhere. Pipe what it
prints into ``curl -H 'Content-Type: application/json' -d @- http://localhost:8000/v1/completions``.
"""

import json

from agentmem import Memory
from agentmem.testing import tiny_reader

reader = tiny_reader("positions")  # yours: MemoryReader.from_pretrained("my-reader")
question = "when does my train leave?"

with Memory(":memory:", model=reader.bundle) as mem:
    mem.add("I booked the 9:40 train to Lyon, seat 23A.")
    context = mem.recall(question).pack(max_positions=256)
    body = {
        "model": "MODEL",
        "prompt_embeds": context.to_prompt_embeds(reader, f"Question: {question}\nAnswer:"),
        "max_tokens": 32,
        "temperature": 0,
    }
    print(json.dumps(body))
