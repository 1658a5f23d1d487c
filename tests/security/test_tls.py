"""Contexts for TLS: made of good files, refused in one line over bad ones, and in step with them."""

import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tls_rig import EC, ED25519, Authority, der_of

from fame_cli.errors import ConfigError
from fame_cli.security.settings import Tls
from fame_cli.security.tls import client_context, server_context


@pytest.fixture(params=[ED25519, EC])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> Authority:
    return Authority(tmp_path, kind=request.param)


def shake(server: ssl.SSLContext | None, client: ssl.SSLContext | None) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Shake hands in memory; returns the listener's end and the dialler's."""
    assert server is not None
    assert client is not None
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    listener = server.wrap_bio(to_server, to_client, server_side=True)
    dialler = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    waiting: list[Callable[[], None]] = [dialler.do_handshake, listener.do_handshake]
    for _ in range(10):
        if not waiting:
            return listener, dialler
        step = waiting.pop(0)
        try:
            step()
        except ssl.SSLWantReadError:
            waiting.append(step)
    raise AssertionError("no end of the handshake")


def told(made: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as refused:
        made()
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_both_ends_speak_the_newest_tls_and_know_each_other(authority: Authority) -> None:
    server, client = authority.issue("s1", clients="required"), authority.issue("a1")
    listener, dialler = shake(server_context(server), client_context(client))
    assert listener.version() == dialler.version() == "TLSv1.3"
    assert listener.getpeercert(binary_form=True) == der_of(client)
    assert dialler.getpeercert(binary_form=True) == der_of(server)


def test_an_older_tls_than_1_2_is_not_spoken(authority: Authority) -> None:
    server, client = server_context(authority.issue("s1")), client_context(authority.issue("a1"))
    for context in (server, client):
        assert context is not None
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake(server, client)[0].version() == "TLSv1.2"


def test_nothing_is_made_where_nothing_is_named() -> None:
    assert server_context(Tls()) is None
    assert client_context(Tls()) is None


def test_a_dialler_is_not_asked_for_a_certificate_unless_the_listener_wants_one(authority: Authority) -> None:
    listener, _ = shake(server_context(authority.issue("s1")), client_context(authority.issue("a1")))
    assert listener.getpeercert(binary_form=True) is None


def test_an_optional_certificate_may_be_missing_but_not_of_a_stranger(authority: Authority, tmp_path: Path) -> None:
    server = authority.issue("s1", clients="optional")
    assert shake(server_context(server), client_context(Tls(authorities=authority.file)))[0].getpeercert(True) is None
    stranger = Authority(tmp_path, "strangers", authority.kind).issue("x1")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server_context(server), client_context(replace(stranger, authorities=authority.file)))


def test_a_required_certificate_may_not_be_missing(authority: Authority) -> None:
    server = authority.issue("s1", clients="required")
    with pytest.raises(ssl.SSLError, match="did not return a certificate"):
        shake(server_context(server), client_context(Tls(authorities=authority.file)))


# What is wrong, by file


def test_a_file_that_is_missing_is_named(authority: Authority, tmp_path: Path) -> None:
    tls, gone = authority.issue("s1"), tmp_path / "gone.pem"
    for made in (
        lambda: server_context(replace(tls, certificate=gone)),
        lambda: server_context(replace(tls, key=gone)),
        lambda: server_context(replace(tls, authorities=gone, clients="required")),
        lambda: client_context(Tls(authorities=gone)),
    ):
        assert told(made) == f"{gone}: no such file; check security.tls"


def test_what_is_no_pem_is_named_and_not_shown(authority: Authority, tmp_path: Path) -> None:
    tls, text = authority.issue("s1"), tmp_path / "text.pem"
    text.touch(0o600)
    for content in (b"hello", b"", b"\0\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        text.write_bytes(content)
        no_certificate = f"{text}: no certificate in PEM; check security.tls"
        assert told(lambda: server_context(replace(tls, certificate=text))) == no_certificate
        assert told(lambda: client_context(Tls(authorities=text))) == no_certificate
        assert (
            told(lambda: server_context(replace(tls, key=text))) == f"{text}: no private key in PEM; check security.tls"
        )


def test_a_key_of_another_certificate_is_told(authority: Authority) -> None:
    one, other = authority.issue("s1"), authority.issue("s2")
    assert told(lambda: server_context(replace(one, key=other.key))) == (
        f"{other.key}: the key isn't that of {one.certificate}; check security.tls"
    )


def test_an_encrypted_key_is_told_and_nobody_is_asked_for_a_password(authority: Authority) -> None:
    tls = authority.issue("s1", password=b"secret")
    assert told(lambda: server_context(tls)).startswith(f"{tls.key}: the key is encrypted; take the password off it")


def test_a_key_that_everybody_can_read_is_not_used(authority: Authority) -> None:
    tls = authority.issue("s1")
    assert tls.key is not None
    tls.key.chmod(0o604)
    assert told(lambda: server_context(tls)) == f"{tls.key}: everybody can use this key; chmod 600 {tls.key}"
    tls.key.chmod(0o640)  # as where a group holds all keys
    assert server_context(tls) is not None


def test_a_certificate_out_of_its_time_is_told_with_its_date(authority: Authority) -> None:
    old = authority.issue("old", begins=timedelta(days=-3), ends=timedelta(days=-2))
    assert f"{old.certificate}: the certificate has expired on 20" in told(lambda: server_context(old))
    assert "expired" in told(lambda: client_context(old))
    new = authority.issue("new", begins=timedelta(hours=5))
    assert f"{new.certificate}: the certificate isn't valid before 20" in told(lambda: server_context(new))


def test_of_several_authorities_some_may_have_expired(authority: Authority) -> None:
    tls = authority.issue("s1")
    later = time.time() + 3 * 86_400
    assert "expired" in told(lambda: client_context(Tls(authorities=authority.file), lambda: later))
    old = authority.issue("old", begins=timedelta(days=-3), ends=timedelta(days=-2))
    assert old.certificate is not None
    authority.file.write_bytes(old.certificate.read_bytes() + authority.file.read_bytes())
    assert shake(server_context(tls), client_context(Tls(authorities=authority.file)))


def test_a_certificate_without_a_key_is_told(authority: Authority) -> None:
    for made in (
        lambda: server_context(replace(authority.issue("s1"), key=None)),
        lambda: server_context(replace(authority.issue("s1"), certificate=None)),
        lambda: client_context(replace(authority.issue("s1"), key=None)),
    ):
        assert told(made) == "security.tls: a certificate and its key go together; name both"


def test_certificates_of_diallers_need_somebody_who_may_issue_them(authority: Authority) -> None:
    """The system's authorities would let in whoever has a web server."""
    tls = replace(authority.issue("s1", clients="optional"), authorities=None)
    assert told(lambda: server_context(tls)).startswith("tls.clients: optional: nobody is named")


# In step with the files


def test_a_new_certificate_is_shown_without_a_restart(authority: Authority) -> None:
    server = authority.issue("s1")
    context, client = server_context(server), client_context(Tls(authorities=authority.file))
    old = der_of(server)
    assert shake(context, client)[1].getpeercert(True) == old
    authority.issue("s1")
    assert der_of(server) != old
    assert shake(context, client)[1].getpeercert(True) == der_of(server)
    assert shake(context, client)[1].getpeercert(True) == der_of(server)


def test_an_authority_that_is_taken_out_is_believed_no_longer(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other", authority.kind)
    server = replace(authority.issue("s1"), authorities=tmp_path / "clients.pem", clients="required")
    assert server.authorities is not None
    server.authorities.write_bytes(other.file.read_bytes())
    client = replace(other.issue("a1"), authorities=authority.file)
    context = server_context(server)
    first = shake(context, client_context(client))[1].session
    server.authorities.write_bytes(authority.file.read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(context, client_context(client))
    assert first is None or not first.has_ticket


def test_files_that_have_changed_for_the_worse_leave_the_old_ones_in_force(authority: Authority) -> None:
    server, other = authority.issue("s1"), authority.issue("s2")
    failed: list[ConfigError] = []
    context = server_context(server, failed=failed.append)
    client = client_context(Tls(authorities=authority.file))
    old = der_of(server)
    assert server.certificate is not None
    assert server.key is not None
    assert other.certificate is not None
    assert other.key is not None
    server.certificate.write_bytes(other.certificate.read_bytes())
    assert shake(context, client)[1].getpeercert(True) == old
    assert shake(context, client)[1].getpeercert(True) == old
    assert [str(each).partition(": ")[2][:20] for each in failed] == ["the key isn't that o"]
    server.key.write_bytes(other.key.read_bytes())
    assert shake(context, client)[1].getpeercert(True) == der_of(other)
    server.certificate.unlink()
    assert shake(context, client)[1].getpeercert(True) == der_of(other)
    assert len(failed) == 2


def test_a_dialler_gets_the_same_context_until_its_files_change(authority: Authority) -> None:
    client = authority.issue("a1")
    context = client_context(client)
    assert client_context(client) is context
    authority.issue("a1")
    assert client_context(client) is not context
    server = authority.issue("s1", clients="required")
    assert shake(server_context(server), client_context(client))[0].getpeercert(True) == der_of(client)
