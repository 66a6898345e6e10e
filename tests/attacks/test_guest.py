"""What guests can do, and what they learn: only what the owner has published."""

import json
from dataclasses import replace

import pytest
from visitors import Visitor

from studio import runs
from studio.compare import comparison_history
from studio.evaluate import evaluation_store, vote_pairs
from studio.evaluate.vote_pairs import VotePair, VotePairs
from studio.i18n import text
from studio.runs import metadata

QUESTION = "What is 3?"


def heard(visitor) -> str:
    return b"".join(visitor.heard).decode("utf-8", "replace")


def opened(guest, run):
    """Open the page and a run, as the browser does."""
    views = parts(guest)
    guest.call("ui.guest", "open_page")
    return guest.call("tabs.comparing", "open_run", {views["run"]: run.id})


def parts(guest):
    """The guests' page's components, by the names that these tests need."""
    event = guest.blocks.fns[guest.index("compare_events", "compare")]
    _, prompt, run, checkpoint, strength, *numbers = event.inputs
    return {
        "prompt": prompt,
        "run": run,
        "checkpoint": checkpoint,
        "strength": strength,
        "numbers": numbers[:6],
    }


def ask(guest, run_id, question=QUESTION, checkpoint="now", tokens=8):
    views = parts(guest)
    numbers = dict(zip(views["numbers"], (0.0, tokens, 0, 1.0, 0, 1.0), strict=True))
    known = {views["prompt"]: question, views["run"]: run_id}
    return guest.call(
        "compare_events", "compare", {**known, **numbers, views["checkpoint"]: checkpoint, views["strength"]: 100}
    )


def test_a_guest_is_offered_published_runs_alone(guest, two_runs):
    opened(guest, two_runs.published)

    assert two_runs.published.id in heard(guest)
    assert two_runs.hidden.id not in heard(guest)
    assert "only mine" not in heard(guest)


def test_a_guest_compares_a_published_run_and_leaves_nothing_in_it(guest, two_runs):
    before = {path: path.stat().st_mtime_ns for path in two_runs.published.path.rglob("*") if path.is_file()}
    opened(guest, two_runs.published)

    sent = json.dumps(ask(guest, two_runs.published.id), ensure_ascii=False)

    assert text("ui.proof.verified") in sent, sent[-2000:]
    assert not comparison_history.load_all(two_runs.published)
    assert {path: path.stat().st_mtime_ns for path in two_runs.published.path.rglob("*") if path.is_file()} == before


def test_the_owner_keeps_what_they_compare(owner, two_runs):
    opened_by_owner = owner.index("compare_events", "compare")
    assert opened_by_owner
    from studio import gpu
    from studio.compare.columns import CompareRequest

    request = CompareRequest(two_runs.published.id, (QUESTION,), two_runs.published.config().generation)
    gpu.thread().compare(request).result()

    assert len(comparison_history.load_all(two_runs.published)) == 1


@pytest.mark.parametrize("way", ["compare", "open_run", "vote"])
def test_a_run_that_is_not_published_is_refused_to_whoever_knows_its_id(guest, two_runs, way):
    opened(guest, two_runs.published)
    guest.heard.clear()
    views = parts(guest)
    known = {views["run"]: two_runs.hidden.id}
    if way == "compare":
        sent = ask(guest, two_runs.hidden.id)
    else:
        module = {"open_run": "tabs.comparing", "vote": "tabs.ballot"}[way]
        sent = guest.call(module, way if way != "vote" else "begin", known)

    assert text("ui.proof.verified") not in json.dumps(sent)
    assert "only mine" not in heard(guest)


def test_a_run_that_is_published_no_more_is_asked_no_more(guest, two_runs):
    opened(guest, two_runs.published)
    ask(guest, two_runs.published.id)
    metadata.publish(two_runs.published, False)
    guest.heard.clear()

    ask(guest, two_runs.published.id)
    on = guest.blocks.fns[guest.index("compare_events", "ask_on")]
    guest.call("compare_events", "ask_on", {on.inputs[2]: "And 4?"})

    assert text("ui.proof.verified") not in heard(guest)
    assert runs.find(two_runs.published.id)


@pytest.mark.parametrize("checkpoint", ["/etc", "../../runs", "someone/adapter@main", "upload:x"])
def test_a_guest_names_no_adapter_of_their_own(guest, two_runs, checkpoint):
    opened(guest, two_runs.published)

    assert text("ui.proof.verified") not in json.dumps(ask(guest, two_runs.published.id, checkpoint=checkpoint))


def test_limits_hold_for_what_a_guest_asks(guest, two_runs):
    opened(guest, two_runs.published)
    guest.heard.clear()

    ask(guest, two_runs.published.id, question="x" * 5000)
    ask(guest, two_runs.published.id, tokens=8000)

    assert text("ui.proof.verified") not in heard(guest)


@pytest.fixture
def asked_for(monkeypatch):
    """Tell the comparisons that reach the GPU thread."""
    from studio import gpu

    requests = []
    compare = gpu.GpuThread.compare
    monkeypatch.setattr(
        gpu.GpuThread, "compare", lambda self, r, keep=True: requests.append(r) or compare(self, r, keep)
    )
    return requests


def kept_with(run, tokens):
    """Let a run have a comparison that its owner has made, with long answers."""
    from dataclasses import replace

    from studio import gpu
    from studio.compare.columns import CompareRequest

    generation = run.config().generation
    made = gpu.thread().compare(
        CompareRequest(run.id, (QUESTION,), generation.model_copy(update={"max_new_tokens": 4}))
    )
    kept = made.result()
    longer = replace(kept.request, generation=generation.model_copy(update={"max_new_tokens": tokens}))
    comparison_history.save(run, replace(kept, request=longer))


@pytest.mark.parametrize("way", ["compare", "ask_on", "again"])
def test_a_guest_gets_no_longer_answers_after_an_update_of_the_control(guest, two_runs, asked_for, way):
    run = two_runs.published
    settings = run.path / "run.yaml"
    settings.write_text(run.config().with_settings({"generation.max_new_tokens": 4000}).to_yaml(), encoding="utf-8")
    kept_with(run, 4000)
    sent = opened(guest, run)  # this updates the control
    asked_for.clear()
    assert "4000" not in json.dumps(sent)

    if way == "compare":
        ask(guest, run.id, tokens=4000)
        ask(guest, run.id, tokens=513)
    elif way == "ask_on":
        event = guest.blocks.fns[guest.index("compare_events", "ask_on")]
        guest.call("compare_events", "ask_on", {event.inputs[2]: "And 4?"})
    else:
        event = guest.blocks.fns[guest.index("compare_events", "again")]
        known = {event.inputs[2]: run.id, event.inputs[4]: 50}
        guest.call("compare_events", "again", known)

    assert asked_for == []
    assert "at most 512 tokens" in heard(guest)
    assert text("ui.proof.verified") in json.dumps(ask(guest, run.id, tokens=4), ensure_ascii=False)
    assert [request.generation.max_new_tokens for request in asked_for] == [4]


def test_a_chat_of_a_guest_has_an_end(monkeypatch, finished_run):
    from studio.compare.columns import BASE, CompareRequest
    from studio.errors import AccessError
    from studio.ui import limits

    request = CompareRequest(finished_run.id, ("x" * 4000,), finished_run.config().generation, (BASE,))
    metadata.publish(finished_run, True)
    for _ in range(3):
        request = request.next_turn(["y" * 4000], "x" * 4000)
    with runs.visible_only(metadata.is_published):
        limits.require_small(request)
        with pytest.raises(AccessError, match="32000"):
            limits.require_small(request.next_turn(["y" * 4000], "x"))
    limits.require_small(request.next_turn(["y" * 4000], "x"))  # the owner's


def test_nothing_of_the_owners_data_reaches_a_guest(guest, two_runs):
    from studio.data import prepare

    settings = two_runs.published.path / "run.yaml"
    config = two_runs.published.config().with_settings({"evaluation.prompts": "captain-heldout"})
    settings.write_text(config.to_yaml(), encoding="utf-8")
    opened(guest, two_runs.published)
    ask(guest, two_runs.published.id, question="hi")
    guest.get("/guest/config")
    guest.get("/guest/")

    learnt = heard(guest)
    assert two_runs.published.id in learnt
    held_out = prepare.held_out("captain-heldout")
    assert held_out
    assert not [prompt for prompt in held_out if prompt in learnt]
    for secret in ("says the sea", config.data.source.name, config.model.id, str(two_runs.published.path.parent)):
        assert secret not in learnt, secret


def evaluated(run):
    from studio import gpu
    from studio.compare.columns import EvaluationRequest

    gpu.thread().evaluate(EvaluationRequest(run.id, limit=2, forgetting=False)).result()
    assert evaluation_store.newest(run)


def vote(visitor, run, name, mark=""):
    begin = visitor.blocks.fns[visitor.index("tabs.ballot", "begin")]
    chosen, _, voter, browser, *_ = begin.inputs
    known = {chosen: run.id, voter: name, browser: mark}
    visitor.call("tabs.ballot", "begin", known)
    return json.dumps(visitor.call("tabs.ballot", "vote", known), ensure_ascii=False)


def voters(run):
    path = run.path / "compare" / "votes.jsonl"
    return {json.loads(line)["voter"] for line in path.read_text("utf-8").splitlines()}


def test_one_guest_is_one_voter_whatever_they_call_themselves(shared, guest, two_runs):
    evaluated(two_runs.published)
    opened(guest, two_runs.published)
    for name, mark in (("Kim", ""), ("Kim", "abcd"), ("Kim", "1234"), ("Lee", ""), ("Kim 1234", "abcd"), ("Park", "x")):
        guest.session = f"session of {name} {mark}"
        opened(guest, two_runs.published)
        vote(guest, two_runs.published, name, mark)

    assert len(voters(two_runs.published)) == 1
    assert "You have voted as Kim already" in heard(guest)
    other = Visitor(shared.url, shared.guests, "/guest")
    other.log_in("guest")
    opened(other, two_runs.published)
    vote(other, two_runs.published, "Kim")
    assert len(voters(two_runs.published)) == 2
    assert len(shared.app.tokens) > 1
    assert not any(token in str(voters(two_runs.published)) for token in shared.app.tokens)


def test_a_guest_votes_on_pairs_that_were_made_and_makes_none(guest, two_runs):
    pair = VotePair("What is a pair?", ("plain", "styled"), ("a", "a"), 0.9)
    vote_pairs.write(two_runs.published, VotePairs("0" * 16, (pair,), 0))
    vote_pairs.write(two_runs.hidden, VotePairs("0" * 16, (replace(pair, prompt="a hidden pair"),), 0))
    opened(guest, two_runs.published)
    vote(guest, two_runs.published, "Kim")
    assert "What is a pair?" in heard(guest)
    assert len(voters(two_runs.published)) == 1
    assert "a hidden pair" not in heard(guest)
    with pytest.raises(StopIteration):
        guest.index("tabs.vote_pairs", "make")


def test_the_page_gives_a_browser_the_mark_of_its_login(shared, guest, two_runs):
    first = guest.call("tabs.ballot", "marked")[-1]["data"]
    event = guest.blocks.fns[guest.index("tabs.ballot", "marked")]
    guest.session = "another tab"

    assert guest.call("tabs.ballot", "marked", {event.inputs[0]: "my own"})[-1]["data"] == first


def test_a_guest_votes_on_a_published_run_and_not_in_the_name_of_nobody(guest, two_runs):
    evaluated(two_runs.published)
    opened(guest, two_runs.published)
    begin = guest.blocks.fns[guest.index("tabs.ballot", "begin")]
    run, _, voter, *_ = begin.inputs
    known = {run: two_runs.published.id, voter: "Kim"}
    told = json.dumps(guest.call("tabs.ballot", "begin", known), ensure_ascii=False)
    assert "What is" in told

    guest.call("tabs.ballot", "vote", known)

    written = [path for path in (two_runs.published.path / "compare").iterdir() if path.is_file()]
    assert any("Kim" in path.read_text("utf-8") for path in written)
    assert "only mine" not in heard(guest)
