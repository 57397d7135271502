"""What the Hub's stand-in answers to: repositories, their files and commits, uploads by LFS and by Xet."""

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.hub.stand_in_cas import READ_TOKEN, WRITE_TOKEN, ContentStore
from tests.hub.stand_in_http import Answer, ApiError, Request, as_json, partial
from tests.hub.stand_in_repository import DATE, Blob, Repository

TOKEN = "hf_test"
USER = "tester"
LFS_SUFFIXES = (".parquet", ".bin", ".safetensors")
XET_TOKEN_SECONDS = 3600
CAS = "/cas"


class HubApi:
    """The repositories and the routes to them; `endpoint` is the address under which `route` is reached."""

    endpoint: str

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.lfs_store: dict[str, bytes] = {}
        self.cas = ContentStore(lambda: self.endpoint + CAS, self._spoils)
        self.corrupted: set[str] = set()

    def route(self, request: Request) -> Answer:
        """Answer one request."""
        if request.path.startswith(f"{CAS}/"):
            return self.cas.answer(request, request.path.removeprefix(CAS))
        allowed = request.bearer == TOKEN
        # Uploads go to a signed address, which is its own permission.
        free = ("/paths-info/", "/api/validate-yaml", "/lfs/")
        reads = request.method in ("GET", "HEAD") or any(part in request.path for part in free)
        writes = re.search("/batch$|/xet-write-token/", request.path)
        if not allowed and (writes or not reads):
            raise ApiError(401, "Invalid credentials in Authorization header")
        repo = r"/api/(?:datasets|models)/([^/]+/[^/]+)"
        routes: list[tuple[str, Callable[..., Answer]]] = [
            (r"GET /api/whoami-v2", self._whoami),
            (r"POST /api/validate-yaml", lambda _: as_json({"errors": [], "warnings": []})),
            (r"POST /api/repos/create", self._create),
            (r"POST /(?:datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", self._lfs_batch),
            (r"PUT /lfs/([0-9a-f]{64})", self._lfs_put),
            (r"POST /lfs/verify", self._lfs_verify),
            (rf"(?:GET|HEAD) {repo}", self._info),
            (rf"(?:GET|HEAD) {repo}/revision/(.+)", self._info),
            (rf"GET {repo}/refs", self._refs),
            (rf"GET {repo}/tree/([^/]+)(?:/(.*))?", self._tree),
            (rf"GET {repo}/xet-(read|write)-token/(.+)", self._xet_token),
            (rf"POST {repo}/paths-info/(.+)", self._paths_info),
            (rf"POST {repo}/preupload/(.+)", self._preupload),
            (rf"POST {repo}/commit/(.+)", self._commit),
            (rf"POST {repo}/tag/(.+)", self._create_tag),
            (rf"PUT {repo}/settings", self._settings),
            (rf"GET {repo}/commits/(.+)", self._commits),
            (rf"(?:GET|POST) {repo}/discussions", self._discussions),
            (rf"GET {repo}/discussions/([0-9]+)", self._discussion),
            (rf"POST {repo}/discussions/([0-9]+)/(status|merge)", self._change_discussion),
            (r"(?:GET|HEAD) /(?:datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._download),
        ]
        for pattern, route in routes:
            match = re.fullmatch(pattern, f"{request.method} {request.path}")
            if match:
                hidden = match.groups() and self._is_hidden(match[1], allowed)
                if hidden and "/lfs/" not in pattern:
                    raise ApiError(404 if allowed else 401, "Repository not found", "RepoNotFound")
                return route(request, *match.groups())
        raise ApiError(404, f"the stand-in has no route for {request.method} {request.path}")

    def _is_hidden(self, repo_id: str, allowed: bool) -> bool:
        repo = self.repositories.get(repo_id)
        return repo is None or (repo.private and not allowed)

    def _whoami(self, _: Request) -> Answer:
        return as_json({"type": "user", "name": USER, "orgs": [], "auth": {}})

    def _create(self, request: Request) -> Answer:
        wanted = request.json()
        repo_id = f"{wanted.get('organization') or USER}/{wanted['name']}"
        url = f"{self.endpoint}/datasets/{repo_id}"
        if repo_id in self.repositories:
            return as_json({"error": "You already created this repo", "url": url}, 409)
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        repo = self.repositories[repo_id] = Repository(repo_id, private)
        repo.commit({".gitattributes": Blob(b"*.parquet filter=lfs -text\n")}, "initial commit")
        return as_json({"url": url, "name": repo_id, "id": repo_id})

    def _info(self, _: Request, repo_id: str, revision: str = "main") -> Answer:
        repo = self.repositories[repo_id]
        return as_json(repo.info(repo.resolve(revision)))

    def _settings(self, request: Request, repo_id: str) -> Answer:
        self.repositories[repo_id].gated = request.json()["gated"]
        return as_json({})

    def _refs(self, _: Request, repo_id: str) -> Answer:
        repo = self.repositories[repo_id]

        def shown(kind: str, refs: dict[str, str]) -> list[dict[str, str]]:
            return [
                {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}
                for name, commit in refs.items()
            ]

        branches, tags = shown("heads", {"main": repo.head}), shown("tags", repo.tags)
        return as_json({"branches": branches, "tags": tags, "converts": []})

    def _tree(self, request: Request, repo_id: str, revision: str, sub: str | None) -> Answer:
        repo = self.repositories[repo_id]
        tree = repo.commits[repo.resolve(revision)]
        prefix = f"{unquote(sub).strip('/')}/" if sub else ""
        recursive = request.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        listing: dict[str, dict[str, Any]] = {}
        for path, blob in sorted(tree.items()):
            if not path.startswith(prefix):
                continue
            parts = path.removeprefix(prefix).split("/")
            folders = [prefix + "/".join(parts[:depth]) for depth in range(1, len(parts))]
            for folder in folders if recursive else folders[:1]:
                listing.setdefault(folder, _folder_entry(folder))
            if recursive or len(parts) == 1:
                listing[path] = blob.entry(path)
        if prefix and not listing:
            raise ApiError(404, f"{prefix} does not exist", "EntryNotFound")
        return as_json(list(listing.values()))

    def _paths_info(self, request: Request, repo_id: str, revision: str) -> Answer:
        repo = self.repositories[repo_id]
        tree = repo.commits[repo.resolve(revision)]
        if "json" in (request.headers.get("Content-Type") or ""):
            paths = request.json()["paths"]
        else:
            paths = parse_qs(request.body.decode()).get("paths", [])
        shown = [
            tree[path].entry(path) if path in tree else _folder_entry(path)
            for path in paths
            if path in tree or any(name.startswith(f"{path.rstrip('/')}/") for name in tree)
        ]
        return as_json(shown)

    def _preupload(self, request: Request, repo_id: str, revision: str) -> Answer:
        repo = self.repositories[repo_id]
        tree = repo.commits[repo.resolve(revision)]
        files = [
            {
                "path": wanted["path"],
                "uploadMode": "lfs" if wanted["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
                "oid": tree[wanted["path"]].etag if wanted["path"] in tree else None,
            }
            for wanted in request.json()["files"]
        ]
        return as_json({"files": files})

    def _lfs_batch(self, request: Request, repo_id: str) -> Answer:
        objects = []
        for wanted in request.json()["objects"]:
            shown = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
            if self._stored(wanted["oid"]) is None:
                authorization = {"authorization": f"Bearer {TOKEN}"}
                shown["actions"] = {
                    "upload": {
                        "href": f"{self.endpoint}/lfs/{wanted['oid']}",
                        "header": authorization,
                    },
                    "verify": {"href": f"{self.endpoint}/lfs/verify", "header": authorization},
                }
            objects.append(shown)
        return as_json({"transfer": "basic", "objects": objects})

    def _lfs_put(self, request: Request, oid: str) -> Answer:
        if hashlib.sha256(request.body).hexdigest() != oid:
            raise ApiError(400, "the content does not have this oid")
        self.lfs_store[oid] = request.body
        return Answer(b"", headers={"ETag": f'"{oid}"'})

    def _lfs_verify(self, request: Request) -> Answer:
        if request.json()["oid"] not in self.lfs_store:
            raise ApiError(404, "missing object")
        return as_json({})

    def _stored(self, oid: str) -> Blob | None:
        """Return a large file by its sha256, as it was uploaded."""
        if oid in self.lfs_store:
            return Blob(self.lfs_store[oid], lfs=True)
        file = self.cas.by_sha256.get(oid)
        return Blob(self.cas.content(file), lfs=True, xet=file) if file else None

    def _spoils(self, file: str) -> bool:
        trees = [tree for repo in self.repositories.values() for tree in repo.commits.values()]
        return any(
            path in tree and tree[path].xet == file for path in self.corrupted for tree in trees
        )

    def _xet_token(self, _: Request, repo_id: str, kind: str, revision: str) -> Answer:
        token = {"read": READ_TOKEN, "write": WRITE_TOKEN}[kind]
        self.repositories[repo_id].resolve(revision)
        url, expires = self.endpoint + CAS, int(time.time()) + XET_TOKEN_SECONDS
        headers = {
            "X-Xet-Cas-Url": url,
            "X-Xet-Access-Token": token,
            "X-Xet-Token-Expiration": str(expires),
        }
        shown = {"casUrl": url, "accessToken": token, "exp": expires}
        return as_json(shown, headers=headers)

    def _commit(self, request: Request, repo_id: str, branch: str) -> Answer:
        repo = self.repositories[repo_id]
        branch = unquote(branch)
        if branch not in repo.heads:
            raise ApiError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        head = repo.heads[branch]
        tree = dict(repo.commits[head])
        title = ""
        for line in request.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header":
                    title = value["summary"]
                    if value.get("parentCommit") not in (None, head):
                        raise ApiError(412, "A commit has happened since. Please refresh.")
                case "file":
                    tree[value["path"]] = Blob(base64.b64decode(value["content"]))
                case "lfsFile":
                    stored = self._stored(value["oid"])
                    if stored is None:
                        raise ApiError(400, f"lfs object {value['oid']} was not uploaded")
                    tree[value["path"]] = stored
                case "deletedFile":
                    if tree.pop(value["path"], None) is None:
                        raise ApiError(404, "A file with this name doesn't exist", "EntryNotFound")
                case unknown:
                    raise ApiError(400, f"unknown operation {unknown}")
        commit = repo.commit(tree, title, branch)
        url = f"{self.endpoint}/datasets/{repo_id}/commit/{commit}"
        return as_json({"success": True, "commitOid": commit, "commitUrl": url})

    def _commits(self, _: Request, repo_id: str, revision: str) -> Answer:
        repo = self.repositories[repo_id]
        return as_json(
            [
                {
                    "id": commit,
                    "title": repo.messages[commit],
                    "message": "",
                    "date": DATE,
                    "authors": [{"user": USER}],
                }
                for commit in repo.history(repo.resolve(revision))
            ]
        )

    def _discussions(self, request: Request, repo_id: str) -> Answer:
        repo = self.repositories[repo_id]
        if request.method == "POST":
            return as_json({"num": repo.open_pull_request(request.json()["title"]).number})
        shown = [made.shown(repo_id, _kind(request)) for made in repo.pull_requests.values()]
        return as_json({"count": len(shown), "start": 0, "discussions": shown})

    def _discussion(self, request: Request, repo_id: str, number: str) -> Answer:
        made = self.repositories[repo_id].pull_requests[int(number)]
        return as_json(made.shown(repo_id, _kind(request)))

    def _change_discussion(
        self, request: Request, repo_id: str, number: str, change: str
    ) -> Answer:
        repo = self.repositories[repo_id]
        if change == "merge":
            repo.merge(int(number))
            return as_json({})
        made = repo.pull_requests[int(number)]
        if made.status == request.json()["status"]:
            raise ApiError(409, f"this branch is {made.status} already")
        made.status = request.json()["status"]
        event = {"id": "1", "type": "status-change", "createdAt": DATE}
        return as_json({"newStatus": {**event, "data": {"status": made.status}}})

    def _create_tag(self, request: Request, repo_id: str, revision: str) -> Answer:
        repo = self.repositories[repo_id]
        name = request.json()["tag"]
        if name in repo.tags:
            raise ApiError(409, f"Tag reference exists already: {name}")
        repo.tags[name] = repo.resolve(revision)
        return as_json({"name": name})

    def _download(self, request: Request, repo_id: str, revision: str, path: str) -> Answer:
        repo = self.repositories[repo_id]
        commit = repo.resolve(revision)
        path = unquote(path)
        blob = repo.commits[commit].get(path)
        if blob is None:
            raise ApiError(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.content))}
        content = blob.content
        if path in self.corrupted:
            content = bytes([content[0] ^ 1]) + content[1:]
        if blob.xet:
            token = f"{self.endpoint}/api/{_kind(request)}s/{repo_id}/xet-read-token/{commit}"
            info = f"{self.endpoint}{CAS}/v1/reconstructions/{blob.xet}"
            headers["X-Xet-Hash"] = blob.xet
            headers["Link"] = f'<{token}>; rel="xet-auth", <{info}>; rel="xet-reconstruction-info"'
        return partial(request, content, headers)


def _kind(request: Request) -> str:
    return "dataset" if "/datasets/" in request.path else "model"


def _folder_entry(path: str) -> dict[str, Any]:
    oid = hashlib.sha1(path.encode()).hexdigest()
    return {"type": "directory", "path": path, "oid": oid, "size": 0}
