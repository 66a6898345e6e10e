"""The page is launched, whatever Gradio's own look at it says."""

import urllib.request

import gradio as gr

from studio.ui import launch


def test_a_page_that_is_slow_to_answer_is_launched(home, monkeypatch):
    monkeypatch.setattr(gr.networking, "url_ok", lambda url: False)  # it waits 3 s for the page
    with gr.Blocks() as page:
        gr.Button("Start")
    try:
        _, url, _ = launch.launch(page, prevent_thread_lock=True, quiet=True)
        with urllib.request.urlopen(url) as answer:
            assert answer.status == 200
    finally:
        page.close(verbose=False)
