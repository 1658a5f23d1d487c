"""The settings of a client without a file: what is taken without the schema is what the schema would take."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fame_cli.cli.session import ClientSettings
from fame_cli.config.load import load
from fame_cli.config.plain import DEFAULT_ATTACH_URL, DEFAULT_TIMEOUT_S, plain_client
from fame_cli.errors import FameError

URL = "ws://10.0.0.7:8001/fame/v1/attach/ws/downstream"
PIECES = [
    "ws://",
    "wss://",
    "a",
    "1",
    ".",
    "-",
    "::1",
    "[::1]",
    ":",
    ":0",
    ":80",
    ":65535",
    ":65536",
    ":99999",
    "/",
    "@",
]
HOSTS = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
PATHS = ["/fame/v1/attach/ws/downstream", "/fame/v1/attach/ws/peer", "/x/fame/v1/attach/ws/downstream", "", "?a"]


def test_nothing_given_means_the_defaults() -> None:
    assert plain_client({}, None, None) == (DEFAULT_ATTACH_URL, DEFAULT_TIMEOUT_S)


def test_a_flag_goes_before_a_variable_and_an_empty_variable_is_none() -> None:
    assert plain_client({"FAME_DIRECT_ADMISSION_URL": URL}, None, None) == (URL, DEFAULT_TIMEOUT_S)
    assert plain_client({"FAME_DIRECT_ADMISSION_URL": "other"}, URL, 5) == (URL, 5)
    assert plain_client({"FAME_DIRECT_ADMISSION_URL": "", "FAME_NODE_ID": ""}, None, None) is not None


@pytest.mark.parametrize(
    "name", ["FAME_NODE_ID", "FAME_ADMISSION_PROFILE", "FAME_LOG_LEVEL", "FAME_SHOW_ENVELOPES", "FAME_ANYTHING"]
)
def test_any_other_variable_needs_the_schema(name: str) -> None:
    assert plain_client({name: "x"}, None, None) is None


@settings(max_examples=500, deadline=None)
@given(
    st.none() | st.builds(str.__add__, HOSTS, st.sampled_from(PATHS)),
    st.none() | st.sampled_from([-1.0, 0.0, 1e-9, 0.5, 86_400.0, 86_401.0, float("inf"), float("nan")]),
    st.sampled_from(["", URL, "nonsense"]),
)
def test_what_is_taken_is_what_the_schema_takes(url: str | None, timeout_s: float | None, variable: str) -> None:
    env = {"FAME_DIRECT_ADMISSION_URL": variable}
    plain = plain_client(env, url, timeout_s)
    try:
        loaded = load(None, kind="client", env=env, overrides={"upstream.direct_url": url, "timeout_s": timeout_s})
    except FameError:
        assert plain is None
    else:
        assert plain in (None, (loaded.upstream.direct_url, loaded.timeout_s))
        usual = ClientSettings("", None, 1.0, observer=None)
        wire = loaded.wire
        assert (loaded.id, wire.transport, wire.batch) == (None, usual.transport, usual.batch)
        assert wire.silence_s == usual.silence_s
