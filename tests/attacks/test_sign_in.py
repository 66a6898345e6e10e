"""Signing in on a Space, against a stand-in for the Hub's OAuth: nobody becomes the owner but the owner."""

import argparse
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("itsdangerous")
pytest.importorskip("authlib")

HOST = "someone-studio.hf.space"
CLIENT = "the-client"


class Provider:
    """An OpenID provider; it signs with the key that it shows, or with another."""

    def __init__(self):
        from joserfc.jwk import RSAKey

        self.key, self.other_key = (RSAKey.generate_key(2048, {"kid": "k"}, private=True) for _ in range(2))
        self.codes: dict[str, dict] = {}
        self.asked: list[dict] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(provider.metadata() if "openid-configuration" in self.path else provider.keys())

            def do_POST(self):
                asked = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                provider.asked.append(asked)
                made = provider.codes.pop(asked["code"][0], None)
                self.answer(made or {"error": "invalid_grant"}, 200 if made else 400)

            def answer(self, body, status=200):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *given):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def metadata(self):
        at = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token", "userinfo")}
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **at}

    def keys(self):
        return {"keys": [self.key.as_dict(private=False)]}

    def code_of(self, user, nonce, forged=False, **claims):
        """Return a code for which a client gets the token of a user."""
        from joserfc import jwt

        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "sub": user, "iat": now, "exp": now + 600, "nonce": nonce} | claims
        claims |= {"preferred_username": user, "name": user, "profile": "", "picture": ""}
        token = jwt.encode({"alg": "RS256", "kid": "k"}, claims, self.other_key if forged else self.key)
        code = f"code-{len(self.codes)}-{user}"
        made = {"access_token": "hf_x", "token_type": "bearer", "expires_in": 600, "id_token": token}
        self.codes[code] = made | {"expires_at": now + 600}
        return code


class Browser:
    """Somebody who signs in: keeps the session's cookie, as a browser does over HTTPS."""

    def __init__(self, url):
        self.url, self.session = url, None

    def get(self, path):
        import httpx

        headers = {"host": HOST} | ({"cookie": f"session={self.session}"} if self.session else {})
        answer = httpx.get(self.url + path, headers=headers)
        if (told := answer.headers.get("set-cookie", "")).startswith("session="):
            self.session = answer.cookies.get("session")
            assert self.session or "1970" in told
        return answer

    def begin(self, target="/"):
        """Go to the provider; returns what it is asked."""
        answer = self.get(f"login/huggingface?_target_url={target}")
        return {name: value[0] for name, value in parse_qs(urlsplit(answer.headers["location"]).query).items()}

    def come_back(self, code, state, target="/"):
        return self.get(f"login/callback?code={code}&state={state}&_target_url={target}")

    @property
    def is_owner(self):
        return self.get("config").status_code == 200


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """A Space that runs here, and the provider that its users sign in with."""
    import gradio.http_server

    import app
    from studio.ui import app as pages
    from studio.ui import guest, launch
    from studio.ui.access import Door

    provider = Provider()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RESTYLE_HOME", str(tmp_path_factory.mktemp("space")))
        for name, value in {"SPACE_ID": "someone/studio", "SPACE_AUTHOR_NAME": "Someone", "SPACE_HOST": HOST}.items():
            patched.setenv(name, value)
        patched.setenv("SYSTEM", "spaces")
        oauth = {"CLIENT_ID": CLIENT, "CLIENT_SECRET": "a secret", "SCOPES": "openid profile"}
        for name, value in {f"OAUTH_{name}": value for name, value in oauth.items()}.items():
            patched.setattr(f"gradio.oauth.{name}", value)
        patched.setattr("gradio.oauth.OPENID_PROVIDER_URL", provider.url)
        patched.setattr(os.path, "ismount", lambda path: False)
        patched.setattr(gradio.http_server, "get_space", lambda: None)
        door, _ = app._door(argparse.Namespace(host="127.0.0.1"))
        launch.open_to(door)
        page = pages.build()
        _, url, _ = launch.launch(page, None, guest.build(), prevent_thread_lock=True, quiet=True)
        yield SimpleNamespace(url=url, provider=provider)
        page.close(verbose=False)
        launch.open_to(Door())
    provider.server.shutdown()
    provider.server.server_close()


@pytest.fixture
def browser(space):
    return Browser(space.url)


@pytest.mark.long
@pytest.mark.parametrize(
    ("user", "owns"), [("someone", True), ("SomeOne", True), ("nobody", False), ("someone2", False)]
)
def test_who_signs_in_gets_the_page_that_is_theirs(space, browser, user, owns):
    asked = browser.begin()
    assert asked["client_id"] == CLIENT
    assert asked["redirect_uri"].startswith(f"https://{HOST}/login/callback?")
    assert not browser.is_owner

    answer = browser.come_back(space.provider.code_of(user, asked["nonce"]), asked["state"])
    assert answer.headers["location"] == "/"
    assert browser.is_owner is owns
    assert browser.get("guest/config").status_code == 200

    browser.get("logout")
    assert not browser.is_owner


def test_a_code_of_the_owner_is_worth_nothing_in_another_browser(space, browser):
    theirs, mine = browser.begin(), Browser(space.url)
    code = space.provider.code_of("someone", theirs["nonce"])
    for state in (theirs["state"], "", "made-up", mine.begin()["state"]):
        mine.come_back(code, state)
        assert not mine.is_owner
    assert Browser(space.url).come_back(code, theirs["state"]).status_code in (302, 307)


def test_a_state_is_good_once(space, browser):
    asked = browser.begin()
    browser.come_back(space.provider.code_of("nobody", asked["nonce"]), asked["state"])
    browser.come_back(space.provider.code_of("someone", asked["nonce"]), asked["state"])
    assert not browser.is_owner


@pytest.mark.parametrize(
    "forged",
    [
        {"forged": True},
        {"nonce": "another"},
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_token_that_is_not_for_this_login_signs_nobody_in(space, browser, forged):
    asked = browser.begin()
    claims = {"nonce": asked["nonce"]} | forged
    browser.come_back(space.provider.code_of("someone", **claims), asked["state"])
    assert not browser.is_owner


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "////evil.example", "/\\evil.example"])
def test_signing_in_leads_to_no_other_site(space, browser, target):
    asked = browser.begin(target)
    answer = browser.come_back(space.provider.code_of("nobody", asked["nonce"]), asked["state"], target)
    where = urlsplit(answer.headers["location"].replace("\\", "/"))
    assert (where.scheme, where.netloc) == ("", "")


def test_a_session_that_was_changed_is_none(space, browser):
    asked = browser.begin()
    browser.come_back(space.provider.code_of("nobody", asked["nonce"]), asked["state"])
    packed, _, signature = browser.session.partition(".")
    import base64

    info = json.loads(base64.b64decode(packed))
    info["oauth_info"]["userinfo"]["preferred_username"] = "someone"
    browser.session = f"{base64.b64encode(json.dumps(info).encode()).decode()}.{signature}"
    assert not browser.is_owner


def test_without_the_hubs_own_login_there_is_no_space(monkeypatch):
    """Outside of a Space, Gradio signs everybody in as this machine's user."""
    import app
    from studio.errors import AccessError

    monkeypatch.setenv("SPACE_ID", "someone/studio")
    monkeypatch.setattr("gradio.oauth.OAUTH_CLIENT_ID", CLIENT)
    monkeypatch.delenv("SYSTEM", raising=False)
    with pytest.raises(AccessError):
        app._door(argparse.Namespace(host="127.0.0.1"))
