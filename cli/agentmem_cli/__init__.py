"""The `agentmem` command: it talks to people, and to nothing below the SDK.

Start at `agentmem_cli.app`. Modules of the SDK are imported where they are used: telling how a
command works must not load torch.
"""
