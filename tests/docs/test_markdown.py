"""The Markdown reader of these tests: directives in comments apply to the block that follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.markdown import anchors, blocks, links

PAGE = """# How `add` works, in *short*

See [this](other.md#part) and `[not](a link)`.

<!-- not executed: needs a GPU -->
```bash
nvidia-smi
```

Text.

```python
print("[neither](this)")
```

<!-- output -->
```text
[neither](this)
```

!!! note

    ```python
    if True:
        pass
    ```

## Named { #by-hand }
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_a_comment_speaks_of_the_next_block_only(page: Path) -> None:
    shell, python, output, indented = blocks(page)
    assert (shell.language, shell.not_executed, shell.line) == ("bash", "needs a GPU", 6)
    assert (python.not_executed, python.is_output) == (None, False)
    assert (output.not_executed, output.is_output) == (None, True)
    assert indented.code == "if True:\n    pass\n"


def test_links_and_headings_in_code_are_none(page: Path) -> None:
    assert links(page) == ["other.md#part"]
    assert anchors(page) == {"how-add-works-in-short", "by-hand"}
