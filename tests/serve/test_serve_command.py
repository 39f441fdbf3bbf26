"""`hearten serve` as its own process: the official client talks to it, its log holds nothing of it."""

import os
import signal
import subprocess
import sys

import openai
import pytest
from fakes_serve import free_port, within

from hearten.cli import main
from hearten.serve.keys import Keys

SECRET = "Zebediah"


def command(*args):
    with pytest.raises(SystemExit) as leave:
        main(["serve", *args])
    return leave.value.code


def test_a_key_is_printed_once_and_its_hash_kept(tmp_path, capsys):
    file = tmp_path / "keys.jsonl"
    assert command("--new-key", "page", "--keys", str(file)) == 0
    secret = capsys.readouterr().out.splitlines()[0]
    assert Keys.read(file).name_of(secret) == "page"
    assert command("--new-key", "page") == 2
    assert "--keys keys.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["embeded"], "did you mean 'embedded'?"),
        (["--region", "atlantis"], "unknown region 'atlantis'"),
        (["scripted:nowhere.jsonl"], "no such file"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_listens(args, told, capsys):
    assert command(*args, "--port", str(free_port())) == 2
    assert told in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(capsys):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert command("--port", str(port)) == 1
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.slow
def test_the_official_client_talks_to_the_real_process(tmp_path):
    script = tmp_path / "script.jsonl"
    script.write_text('{"reply": "I hear you. What happened then?"}\n' * 6)
    port = free_port()
    args = [
        sys.executable,
        "-m",
        "hearten",
        "serve",
        f"scripted:{script}",
        "--port",
        str(port),
        "--no-notices",
    ]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(args, stdout=log, stderr=log, cwd=tmp_path, env={**os.environ})
    try:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0)
        assert within(120, lambda: _answers(client)), (tmp_path / "log").read_text()
        (name,) = [model.id for model in client.models.list()]
        said = [{"role": "user", "content": f"my brother {SECRET} will not speak to me"}]
        whole = client.chat.completions.create(model=name, messages=said)
        assert whole.choices[0].message.content == "I hear you. What happened then?"
        chunks = client.chat.completions.create(model=name, messages=said, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == whole.choices[0].message.content
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(60) in (0, 1, 130, -signal.SIGINT)
    told = (tmp_path / "log").read_text()
    assert f"http://127.0.0.1:{port}" in told
    assert SECRET not in told
    assert not list(tmp_path.glob("*.sqlite")), "nothing is kept unless asked"


def _answers(client):
    try:
        return bool(client.models.list().data)
    except openai.APIConnectionError:
        return False
