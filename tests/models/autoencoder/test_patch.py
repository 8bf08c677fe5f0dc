"""Patches: whatever the latents decode to, the chunk's own ids come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem.models.autoencoder.patch import apply_patch, make_patch

Case = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Target, guess, where the guess is sure, and the bits of an id."""
    bits = draw(st.integers(1, 17))
    length = draw(st.integers(0, 40))
    token = st.integers(0, 2**bits - 1)
    target = draw(st.lists(token, min_size=length, max_size=length))
    # Mostly right, as a decoder is; each place may be wrong, unsure, or both.
    wrong = draw(st.lists(st.one_of(st.none(), token), min_size=length, max_size=length))
    guess = [good if bad is None else bad for good, bad in zip(target, wrong, strict=True)]
    sure = draw(st.lists(st.booleans(), min_size=length, max_size=length))
    return np.array(target, np.int64), np.array(guess, np.int64), np.array(sure, np.bool_), bits


@given(cases())
def test_the_target_comes_back(case: Case) -> None:
    target, guess, sure, bits = case
    before = guess.copy()
    patch = make_patch(target, guess, sure, bits=bits)
    found = apply_patch(guess, patch, bits=bits)
    assert found.dtype == np.int64
    assert found.tolist() == target.tolist()
    assert guess.tolist() == before.tolist()


@given(cases(), st.integers(0, 2**32 - 1))
def test_rounding_may_flip_close_calls(case: Case, seed: int) -> None:
    target, guess, sure, bits = case
    patch = make_patch(target, guess, sure, bits=bits)
    others = np.random.default_rng(seed).integers(0, 2**bits, len(guess))
    elsewhere = np.where(sure, guess, others)
    assert apply_patch(elsewhere, patch, bits=bits).tolist() == target.tolist()


@given(cases())
def test_a_patch_is_empty_exactly_when_nothing_is_wrong_or_close(case: Case) -> None:
    target, guess, sure, bits = case
    right = bool((target == guess).all() and sure.all())
    assert (make_patch(target, guess, sure, bits=bits) == b"") == right


@given(cases())
def test_the_worst_case_is_raw_packing_and_one_byte(case: Case) -> None:
    target, guess, sure, bits = case
    patch = make_patch(target, guess, sure, bits=bits)
    assert len(patch) <= 1 + (len(target) * bits + 7) // 8


def test_sizes_by_hand() -> None:
    target = np.arange(256, dtype=np.int64)
    guess, sure = target.copy(), np.ones(256, np.bool_)
    guess[200] = 0
    # Kind, distance 200 in two bytes, id 200 in two bytes.
    assert make_patch(target, guess, sure, bits=13) == b"\x01\xc8\x01\xc8\x01"
    nothing_right = make_patch(target, target + 1, sure, bits=13)
    assert (nothing_right[0], len(nothing_right)) == (2, 1 + 256 * 13 // 8)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        pytest.param(b"\x00", "unknown kind 0", id="kind-zero"),
        pytest.param(b"\x03\x01\x01", "unknown kind 3", id="kind-three"),
        pytest.param(b"\x02", "does not hold 10 tokens", id="raw-empty"),
        pytest.param(b"\x02" + bytes(10), "does not hold 10 tokens", id="raw-short"),
        pytest.param(b"\x02" + bytes(13), "does not hold 10 tokens", id="raw-long"),
        pytest.param(b"\x01\x0a\x01", "not fit 10 tokens of 9 bits", id="place-behind-the-end"),
        pytest.param(
            b"\x01\x09\x01\x00\x01", "not fit 10 tokens of 9 bits", id="second-place-behind"
        ),
        pytest.param(
            b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01",
            "not fit 10 tokens of 9 bits",
            id="place-huge",
        ),
        pytest.param(b"\x01\x00", "not fit 10 tokens of 9 bits", id="place-without-token"),
        pytest.param(b"\x01\x00\x80", "inside a number", id="token-torn"),
        pytest.param(b"\x01\x80", "inside a number", id="place-torn"),
        pytest.param(b"\x01\x00\x80\x04", "not fit 10 tokens of 9 bits", id="token-out-of-range"),
        pytest.param(
            b"\x01\x00" + b"\xff" * 10 + b"\x01", "not fit 10 tokens of 9 bits", id="token-huge"
        ),
    ],
)
def test_damaged_patches_are_refused(patch: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply_patch(np.zeros(10, np.int64), patch, bits=9)


@given(cases(), st.data())
def test_no_damage_changes_the_length_or_leaves_the_vocabulary(
    case: Case, data: st.DataObject
) -> None:
    target, guess, sure, bits = case
    patch = bytearray(make_patch(target, guess, sure, bits=bits))
    harm = data.draw(st.sampled_from(["cut", "flip", "grow", "replace"]))
    if harm == "cut":
        del patch[data.draw(st.integers(0, len(patch))) :]
    elif harm == "flip" and patch:
        patch[data.draw(st.integers(0, len(patch) - 1))] ^= data.draw(st.integers(1, 255))
    elif harm == "grow":
        patch += data.draw(st.binary(min_size=1, max_size=12))
    else:
        patch = bytearray(data.draw(st.binary(max_size=20)))
    try:
        found = apply_patch(guess, bytes(patch), bits=bits)
    except ValueError:
        return
    assert found.shape == target.shape
    assert ((found >= 0) & (found < 2**bits)).all()
