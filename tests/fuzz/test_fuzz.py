"""All targets of `fuzz_targets.py` with generated input, and with what the fuzzer has found to reach something new."""

from random import Random

import pytest
from core_rig import PROPERTY
from fuzz_corpus import kept
from fuzz_mutations import mutated
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = sorted(TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_input_that_gets_far_does_no_harm(name: str) -> None:
    seeds = TARGETS[name].seeds()
    assert seeds
    for seed in seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_fuzzer_has_found_does_no_harm(name: str) -> None:
    found = kept(name)
    assert found
    for each in found:
        TARGETS[name].run(each)


@pytest.mark.parametrize("name", NAMES)
@settings(PROPERTY)
@given(data=st.binary(max_size=400))
def test_any_bytes_do_no_harm(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


@pytest.mark.parametrize("name", NAMES)
@settings(PROPERTY)
@given(data=st.data())
def test_input_with_bytes_changed_does_no_harm(name: str, data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from(TARGETS[name].seeds())))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        text[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    TARGETS[name].run(bytes(text))


@pytest.mark.parametrize("name", NAMES)
@settings(PROPERTY)
@given(which=st.integers(0, 10_000), seed=st.integers(0, 2**32), times=st.integers(1, 3))
def test_input_with_values_changed_does_no_harm(name: str, which: int, seed: int, times: int) -> None:
    seeds = TARGETS[name].seeds()
    random, text = Random(seed), seeds[which % len(seeds)]
    for _ in range(times):
        text = mutated(text, random, seeds)
    TARGETS[name].run(text)
