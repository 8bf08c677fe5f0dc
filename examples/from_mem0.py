"""Code for mem0 with one import changed: the same calls, on this machine, without a key."""

from agentmem.integrations.mem0 import Memory  # was: from mem0 import Memory

if __name__ == "__main__":
    m = Memory(":memory:")  # without an argument: the store that the command line uses
    conversation = [
        {"role": "user", "content": "I am vegan, and allergic to nuts."},
        {"role": "assistant", "content": "Noted: no animal products, and no nuts."},
    ]
    m.add(conversation, user_id="ana", metadata={"topic": "food"})
    m.add("Ana plays the cello on Thursdays.", user_id="ana")

    found = m.search("is Ana vegan?", filters={"user_id": "ana", "topic": "food"})
    for one in found["results"]:
        print(f"{one['score']:.2f}", one["memory"])

    everything = m.get_all(filters={"user_id": "ana"})["results"]
    m.update(everything[-1]["id"], "Ana plays the viola on Thursdays.")
    print(m.get(everything[-1]["id"])["memory"])
    print(m.delete_all(user_id="ana"))
    m.close()
