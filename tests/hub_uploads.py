"""What the stand-in for the Hub does with uploads: it makes repositories, takes large files, and commits.

It checks what arrives as the Hub does: who asks, hashes, sizes, metadata. Large files have addresses that are signed,
so a token must not come with them. It can break a connection in the middle.
"""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

LARGE = (".safetensors", ".png", ".parquet", ".npy")
LICENCES = ("apache-2.0", "mit", "gemma", "llama3.2", "other")
TASKS = ("text-generation",)
RELATIONS = ("adapter", "merge", "quantized", "finetune")
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Account:
    """Whose token it is, and what it may do."""

    name: str
    role: str
    orgs: tuple[str, ...] = ()


def problems(content: str, kind: str) -> list[str]:
    """Return what is wrong with the metadata of a card, in the manner of the Hub."""
    found = re.match(r"---\n(.*?)\n---\n", content, re.S)
    if not found:
        return ["there are no metadata"]
    head = yaml.safe_load(found[1])
    wrong = []
    if head.get("license", "mit") not in LICENCES:
        wrong.append(f'"license" must be one of {LICENCES}')
    if head.get("license") == "other" and "license_name" not in head:
        wrong.append('"license_name" is needed with "other"')
    if kind == "space":
        if head.get("sdk") not in ("gradio", "docker", "static"):
            wrong.append('"sdk" is needed')
        wrong += [f'"{name}"' for name in ("colorFrom", "colorTo") if head.get(name) not in COLOURS]
        if len(head.get("short_description", "")) > 60:
            wrong.append('"short_description" is too long')
        return wrong
    languages = head.get("language") or []
    if not all(re.fullmatch("[a-z]{2,3}", each) for each in ([languages] if isinstance(languages, str) else languages)):
        wrong.append('"language" must be ISO 639 codes')
    names = [head["base_model"]] if "base_model" in head else []
    if not all(_ID.fullmatch(str(each)) for each in [*names, *head.get("datasets", [])]):
        wrong.append('"base_model" and "datasets" must be ids')
    if head.get("pipeline_tag", TASKS[0]) not in TASKS:
        wrong.append('"pipeline_tag" is unknown')
    if head.get("base_model_relation", RELATIONS[0]) not in RELATIONS:
        wrong.append('"base_model_relation" is unknown')
    return wrong


class Uploads:
    """The part of the handler that takes uploads."""

    hub: Any

    def whoami(self, token: str | None) -> None:
        account = self.hub.accounts.get(token)
        if account is None:
            return self._refuse(401, "", "Invalid username or password.")
        orgs = [{"name": name} for name in account.orgs]
        access = {"accessToken": {"role": account.role}}
        return self._json({"type": "user", "name": account.name, "orgs": orgs, "auth": access})

    def do_POST(self) -> None:
        path, token = self._asked()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if not self._chunked() else self._chunks()
        if path == "/api/validate-yaml":
            asked = json.loads(body)
            wrong = problems(asked["content"], asked["repoType"])
            said = {"errors": [{"message": each} for each in wrong], "warnings": []}
            return self._send(400 if wrong else 200, json.dumps(said).encode())
        if self.is_away():
            return None
        account = self.hub.accounts.get(token)
        if self.hub.failure:
            return self._refuse(self.hub.failure, "", "the stand-in was told to fail")
        if account is None:
            return self._refuse(401, "", "Invalid username or password.")
        if account.role == "read":
            return self._refuse(403, "", "a token that may only read")
        if path.startswith("/api/jobs/"):
            return self.take_job(path, body, account, token)
        if path == "/api/repos/create":
            return self._create(json.loads(body), account, token)
        found = re.fullmatch(r"(?:/api/(?:model|space)s|/spaces)?/([\w.-]+/[\w.-]+?)(?:\.git)?/(.+)", path)
        repository = found and self.hub.repositories.get(found[1])
        if not repository:
            return self._refuse(404, "RepoNotFound", "Repository not found")
        if found[2] == "preupload/main":
            return self._preupload(json.loads(body), repository)
        if found[2] == "info/lfs/objects/batch":
            return self._batch(json.loads(body))
        if found[2] == "commit/main":
            with self.hub.committing, repository.lock:
                return self._commit([json.loads(line) for line in body.splitlines()], repository, found[1])
        return self._refuse(404, "", f"nothing at {path}")

    def do_PUT(self) -> None:
        path, token = self._asked()
        assert token is None, "a token was sent to the storage of large files"
        length, name = int(self.headers["Content-Length"]), path.rsplit("/", 1)[-1]
        half = self.rfile.read(length // 2)
        if self.hub.cuts:
            self.hub.cuts -= 1
            self.close_connection = True
            return None
        if self.hub.arriving:
            self.hub.halfway.set()
            self.hub.arriving.wait(60)
        content = half + self.rfile.read(length - length // 2)
        if hashlib.sha256(content).hexdigest() != name:
            return self._refuse(400, "", "the content is not what its name says")
        self.hub.store[name] = content
        return self._send(200, b"")

    def do_DELETE(self) -> None:
        path, token = self._asked()
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        if self.is_away():
            return None
        account = self.hub.accounts.get(token)
        name = f"{asked['organization'] or account.name}/{asked['name']}"
        if path != "/api/repos/delete" or account is None or name not in self.hub.repositories:
            return self._refuse(404, "RepoNotFound", "Repository not found")
        shutil.rmtree(self.hub.repositories.pop(name).folder)
        return self._send(200, b"")

    def _asked(self) -> tuple[str, str | None]:
        from hub_stand_in import Request

        path = unquote(urlsplit(self.path).path)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        given = token if scheme == "Bearer" else None
        self.hub.requests.append(Request(self.command, path, given))
        return path, given

    def _chunked(self) -> bool:
        return self.headers.get("Transfer-Encoding", "").lower() == "chunked"

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _create(self, asked: dict[str, Any], account: Account, token: str) -> None:
        owner = asked.get("organization") or account.name
        if owner not in (account.name, *account.orgs):
            return self._refuse(403, "", "no right in this namespace")
        name = f"{owner}/{asked['name']}"
        if name in self.hub.repositories:
            told = {"error": "You already created this repo", "url": f"{self.hub.url}/{name}"}
            return self._send(409, json.dumps(told).encode())
        if asked.get("type") == "space":
            assert asked["sdk"], "a Space has an sdk"
        folder = Path(self.hub.folder) / name
        folder.mkdir(parents=True)
        (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
        private = asked.get("private", asked.get("visibility") == "private")
        self.hub.add(name, folder, private=private, readers={token}, card={}, config={})
        return self._json({"url": f"{self.hub.url}/{'spaces/' if asked.get('type') == 'space' else ''}{name}"})

    def _preupload(self, asked: dict[str, Any], repository: Any) -> None:
        from hub_stand_in import git_hash

        there, told = repository.files(), []
        for file in asked["files"]:
            name = file["path"]
            large = name.endswith(LARGE)
            told.append({"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False})
            if name in there:
                told[-1]["oid"] = hashlib.sha256(there[name]).hexdigest() if large else git_hash(there[name])
        return self._json({"files": told})

    def _batch(self, asked: dict[str, Any]) -> None:
        assert asked["operation"] == "upload"
        objects = []
        for each in asked["objects"]:
            answer = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.hub.store:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/storage/{each['oid']}"}}
            objects.append(answer)
        return self._json({"transfer": "basic", "objects": objects})

    def _commit(self, lines: list[dict[str, Any]], repository: Any, name: str) -> None:
        header, *operations = lines
        assert header["key"] == "header"
        assert header["value"]["summary"]
        if header["value"].get("parentCommit", repository.commit) != repository.commit:
            return self._refuse(412, "", "A commit has happened since. Please refresh and try again.")
        repository.history[repository.commit] = repository.files()
        written: dict[str, bytes] = {}
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "lfsFile":
                content = self.hub.store.get(value["oid"])
                if content is None or len(content) != value["size"]:
                    return self._refuse(400, "", "a large file has not arrived")
                written[value["path"]] = content
            elif operation["key"] == "file":
                written[value["path"]] = base64.b64decode(value["content"])
        for path, content in written.items():
            (repository.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (repository.folder / path).write_bytes(content)
        for operation in operations:
            if operation["key"] == "deletedFile":
                (repository.folder / operation["value"]["path"]).unlink()
        content = b"".join(path.encode() + data for path, data in sorted(repository.files().items()))
        repository.commit = hashlib.sha1(content).hexdigest()
        oid = repository.commit
        return self._json({"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid, "success": True})
