"""The endpoint's card: started and stopped on the page, and what it says."""

import httpx
import pytest
from following import wait_until_free

from studio import gpu
from studio.errors import StudioError
from studio.ui import serving
from studio.ui.tabs.serving import state


@pytest.fixture(autouse=True)
def nothing_serves(finished_run):
    wait_until_free()
    yield
    serving.stop()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_run_is_served_until_it_is_stopped(finished_run, language):
    server = serving.start(finished_run.id, 0)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "What is 3?"}]}

    assert httpx.post(f"{server.url}/chat/completions", json=body, timeout=60).status_code == 200
    words = state(serving.current(), language)
    assert all(part in words for part in (server.url, "<code>restyle</code>", "vllm serve", finished_run.id))
    serving.stop()
    assert serving.current() is None
    assert "vllm" not in state(serving.current(), language)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/models")


def test_nothing_is_started_or_stopped_while_the_device_is_taken(finished_run, monkeypatch):
    server = serving.start(finished_run.id, 0)
    monkeypatch.setattr(type(gpu.thread()), "is_taken", True)

    with pytest.raises(StudioError, match="in use"):
        serving.start(finished_run.id, 0)
    assert serving.current() is server
