"""`fame render`: what a fabric file becomes for Docker, and that the example's files are just that."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from fame_runner import Fame

from fame_cli.cli.render import compose_text, dockerfile_text
from fame_cli.errors import UsageError
from fame_cli.version import VERSION

PEERS = Path(__file__).parents[2] / "examples" / "peers"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the path of a fabric file outside of the sources."""
    return tmp_path / "fabric.yaml"


def services(file: Path, *nodes: str, **env: str) -> dict[str, Any]:
    """Write a fabric of these nodes and return the services it becomes."""
    lines = "\n".join(f"  - {{{node}}}" for node in nodes)
    file.write_text(f"kind: fabric\nname: lab\nnodes:\n{lines}\n")
    found: dict[str, Any] = yaml.safe_load(compose_text(file, env, file.parent))["services"]
    return found


def sentinel(name: str, port: int, *peers: int) -> str:
    """Return a sentinel that peers with others on this machine."""
    urls = ", ".join(f'{{direct_url: "ws://127.0.0.1:{peer}/fame/v1/attach/ws/peer"}}' for peer in peers)
    return f"kind: sentinel, id: {name}, listen: 127.0.0.1:{port}, peers: [{urls}]"


def agent(name: str, url: str) -> str:
    """Return an agent that attaches to a URL."""
    return (
        f'kind: agent, id: {name}, upstream: {{direct_url: "{url}/fame/v1/attach/ws/downstream"}}, '
        f'agent: {{import: "m:A", address: {name}@fame.fabric}}'
    )


def test_the_examples_compose_file_is_what_its_fabric_renders_to() -> None:
    assert (PEERS / "docker-compose.yml").read_text() == compose_text(PEERS / "fabric.yaml", {}, PEERS)


def test_the_examples_dockerfile_is_what_its_fabric_renders_to() -> None:
    assert (PEERS / "Dockerfile").read_text() == dockerfile_text(PEERS / "fabric.yaml")


def test_what_the_examples_dockerfile_copies_is_there() -> None:
    root = PEERS.parents[1]
    for line in (PEERS / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and not line.startswith("COPY ["):
            assert all((root / name).exists() for name in line.split()[1:-1])


def test_every_node_but_clients_becomes_a_service(file: Path) -> None:
    found = services(file, sentinel("s1", 8000), "kind: client, id: c1", agent("a1", "ws://127.0.0.1:8000"))
    assert list(found) == ["s1", "a1"]


def test_a_sentinel_listens_on_all_addresses_of_its_container(file: Path) -> None:
    command = services(file, sentinel("s1", 8123))["s1"]["command"]
    assert command == ["fame", "sentinel", "--config", "fabric.yaml", "--node", "s1", "--listen", "0.0.0.0:8123"]


def test_peers_on_this_machine_become_services(file: Path) -> None:
    command = services(file, sentinel("s1", 8000), sentinel("s2", 8001), sentinel("s3", 8002, 8000, 8001))["s3"][
        "command"
    ]
    assert command[-4:] == [
        "--peer",
        "ws://s1:8000/fame/v1/attach/ws/peer",
        "--peer",
        "ws://s2:8001/fame/v1/attach/ws/peer",
    ]


def test_an_agents_sentinel_on_this_machine_becomes_a_service(file: Path) -> None:
    command = services(file, sentinel("s1", 8000), agent("a1", "ws://localhost:8000"))["a1"]["command"]
    assert command[-2:] == ["--url", "ws://s1:8000/fame/v1/attach/ws/downstream"]


def test_a_sentinel_elsewhere_stays_what_it_is(file: Path) -> None:
    command = services(file, sentinel("s1", 8000), agent("a1", "wss://far.example"))["a1"]["command"]
    assert "--url" not in command


def test_an_unknown_place_on_this_machine_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match=r"a1 dials ws://127.0.0.1:9.*a container can't reach the host that way"):
        services(file, sentinel("s1", 8000), agent("a1", "ws://127.0.0.1:9"))


def test_an_agent_waits_until_its_sentinel_is_healthy(file: Path) -> None:
    found = services(file, sentinel("s1", 8000), agent("a1", "ws://127.0.0.1:8000"))
    assert found["a1"]["depends_on"] == {"s1": {"condition": "service_healthy"}}
    assert "http://127.0.0.1:8000/readyz" in found["s1"]["healthcheck"]["test"][-1]


def test_sentinels_that_dial_each_other_do_not_wait_for_each_other(file: Path) -> None:
    found = services(file, sentinel("s1", 8000, 8002), sentinel("s2", 8001, 8000), sentinel("s3", 8002, 8001))
    assert [service.get("depends_on") for service in found.values()] == [None, None, None]


def test_a_sentinel_waits_for_the_one_it_dials(file: Path) -> None:
    found = services(file, sentinel("s1", 8000), sentinel("s2", 8001, 8000))
    assert list(found["s2"]["depends_on"]) == ["s1"]


def test_only_the_first_sentinel_is_published_and_on_loopback(file: Path) -> None:
    found = services(file, agent("a1", "ws://127.0.0.1:8001"), sentinel("s1", 8001), sentinel("s2", 8002))
    assert [service.get("ports") for service in found.values()] == [None, ["127.0.0.1:8001:8001"], None]


def test_variables_are_read_as_they_are_now(file: Path) -> None:
    found = services(file, "kind: sentinel, id: s1, listen: '127.0.0.1:${PORT:-8000}'", PORT="8111")
    assert found["s1"]["command"][-1] == "0.0.0.0:8111"


def test_variables_without_a_default_are_taken_at_run_time(file: Path) -> None:
    init = '{a: "${A}", b: "$<B>", c: "${C:-x}", d: "$${D}"}'
    block = f'kind: agent, id: a1, agent: {{import: "m:A", address: a1@fame.fabric, init: {init}}}'
    found = services(file, sentinel("s1", 8000), block, A="1", B="2")
    assert found["a1"]["environment"] == {"FAME_ALLOW_OPEN_PUBLIC": "true", "A": None, "B": None}


def test_secrets_are_not_written(file: Path) -> None:
    block = 'kind: agent, id: a1, agent: {import: "m:A", address: a1@fame.fabric, init: {token: "${API_TOKEN}"}}'
    services(file, sentinel("s1", 8000), block, API_TOKEN="s3cr3t")
    assert "s3cr3t" not in compose_text(file, {"API_TOKEN": "s3cr3t"}, file.parent)


def test_a_dollar_is_doubled_for_compose(tmp_path: Path) -> None:
    file = tmp_path / "$lab.yaml"
    assert services(file, sentinel("s1", 8000))["s1"]["command"][3] == "$$lab.yaml"


def test_a_free_port_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="s1 listens on a free port"):
        services(file, sentinel("s1", 0))


def test_a_parent_on_this_machine_is_refused(file: Path) -> None:
    url = "ws://127.0.0.1:8000/fame/v1/attach/ws/downstream"
    with pytest.raises(UsageError, match=r"s2 has its parent at ws://127.0.0.1:8000.*; write it with the name"):
        services(file, sentinel("s1", 8000), f'{sentinel("s2", 8001)}, upstream: {{direct_url: "{url}"}}')


def test_a_node_file_outside_of_the_image_is_refused(file: Path) -> None:
    outside = file.parent.parent / "outside.yaml"
    outside.write_text("kind: sentinel\nid: s1\n")
    with pytest.raises(UsageError, match="is outside of"):
        services(file, "config: ../outside.yaml")


def test_a_fabric_elsewhere_is_built_from_the_released_package(file: Path) -> None:
    services(file, sentinel("s1", 8000))
    assert f'"fame-cli=={VERSION}"' in dockerfile_text(file)
    build = yaml.safe_load(compose_text(file, {}, file.parent))["x-node"]["build"]
    assert build == {"context": ".", "dockerfile": "Dockerfile"}


def test_paths_are_relative_to_where_the_compose_file_goes(fame: Fame) -> None:
    shutil.copytree(PEERS, "peers", ignore=shutil.ignore_patterns("__pycache__"))
    Path("out").mkdir()
    assert fame("render", "compose", "peers/fabric.yaml", "-o", "out/compose.yml").exit_code == 0
    build = yaml.safe_load(Path("out/compose.yml").read_text())["x-node"]["build"]
    assert build == {"context": "../peers", "dockerfile": "Dockerfile"}


def test_without_out_the_file_goes_to_stdout(fame: Fame) -> None:
    result = fame("render", "compose", str(PEERS / "fabric.yaml"))
    assert (result.exit_code, result.stdout, result.stderr) == (0, (PEERS / "docker-compose.yml").read_text(), "")


def test_a_place_that_cannot_be_written_is_one_line(fame: Fame) -> None:
    result = fame("render", "dockerfile", str(PEERS / "fabric.yaml"), "-o", "no/where")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("fame: no/where can't be written: ")


def test_rendering_a_file_of_one_node_says_what_it_is(fame: Fame) -> None:
    Path("s1.yaml").write_text("kind: sentinel\n")
    result = fame("render", "compose", "s1.yaml")
    assert result.exit_code == 3
    assert "not of a fabric" in result.stderr
