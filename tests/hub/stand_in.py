"""A stand-in for the Hub's HTTP API on this machine, for tests: no network, no account.

It speaks what huggingface_hub and datasets ask for when a data set or a model is created, committed to (small files
inline, large ones by LFS), tagged, listed and downloaded. A repository is a list of immutable commits, each a map from
path to blob; everything lives in memory. Not spoken: Xet, pull requests, inference, users.

Faults are part of it: `fail` answers the next matching requests with an error, before or after they took effect, and
`corrupt` spoils what is downloaded.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_test"
USER = "tester"
LFS_SUFFIXES = (".parquet", ".bin", ".safetensors")
DATE = "2025-01-01T00:00:00.000Z"


class ApiError(Exception):
    """An answer with an error status, and the Hub's own code for it."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Blob:
    """The content of one file; `lfs` tells how it was stored."""

    content: bytes
    lfs: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """Git's blob id: of the content, or of the pointer file that stands for an LFS file."""
        stored = self.content
        if self.lfs:
            pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
            stored = pointer.format(self.sha256, len(self.content)).encode()
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def entry(self, path: str) -> dict[str, Any]:
        """The file as a listing shows it."""
        shown = {"type": "file", "path": path, "size": len(self.content), "oid": self.oid}
        if self.lfs:
            shown["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 134}
        return shown


Tree = dict[str, Blob]


@dataclass
class Repository:
    """One repository, of a data set or a model."""

    id: str
    private: bool
    gated: str | bool = False
    commits: dict[str, Tree] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, tree: Tree, title: str) -> str:
        content = json.dumps([self.head, title, {path: blob.oid for path, blob in tree.items()}])
        self.head = hashlib.sha1(content.encode()).hexdigest()
        self.commits[self.head] = tree
        self.titles.append(title)
        return self.head

    def resolve(self, revision: str) -> str:
        revision = unquote(revision).removeprefix("refs/heads/")
        commit = self.head if revision == "main" else self.tags.get(revision, revision)
        if commit not in self.commits:
            raise ApiError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def info(self, commit: str) -> dict[str, Any]:
        return {
            "_id": hashlib.sha1(self.id.encode()).hexdigest()[:24],
            "id": self.id,
            "author": self.id.partition("/")[0],
            "sha": commit,
            "private": self.private,
            "gated": self.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "createdAt": DATE,
            "lastModified": DATE,
            "siblings": [{"rfilename": path} for path in sorted(self.commits[commit])],
        }


@dataclass
class Fault:
    """Answer `times` requests whose "METHOD path" matches `pattern` with `status`; `after` they took effect."""

    pattern: str
    status: int
    times: int
    after: bool

    def applies(self, request: str) -> bool:
        if not self.times or not re.search(self.pattern, request):
            return False
        self.times -= 1
        return True


@dataclass
class Answer:
    """What goes back: `length` is that of the body that a HEAD request does not get."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class HubStandIn:
    """The server. Use it as a context manager; `endpoint` is what HF_ENDPOINT must be."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.lfs_store: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.corrupted: set[str] = set()
        self.before: list[tuple[str, Callable[[], None]]] = []
        self.after: list[tuple[str, Callable[[], None]]] = []
        self.log: list[str] = []
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> "HubStandIn":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    # What a test does to it.

    def fail(self, pattern: str, status: int, times: int = 1, *, after: bool = False) -> None:
        """Fail the next `times` requests that match, for example `POST .*/commit/`."""
        self.faults.append(Fault(pattern, status, times, after))

    def corrupt(self, path: str) -> None:
        """Spoil every later download of this file, with its size unchanged."""
        self.corrupted.add(path)

    def run_before(self, pattern: str, action: Callable[[], None]) -> None:
        """Run an action once, just before the next request that matches is answered."""
        self.before.append((pattern, action))

    def run_after(self, pattern: str, action: Callable[[], None]) -> None:
        """Run an action once, when the next request that matches took effect, before its answer goes out."""
        self.after.append((pattern, action))

    def push(self, repo_id: str, files: dict[str, bytes]) -> str:
        """Commit files as somebody else would."""
        repo = self.repositories[repo_id]
        blobs = {path: Blob(content) for path, content in files.items()}
        return repo.commit(repo.commits[repo.head] | blobs, "somebody else's commit")

    def requests(self, pattern: str) -> list[str]:
        """Return the requests so far that match."""
        return [request for request in self.log if re.search(pattern, request)]

    # How it answers.

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        """Answer one request, with its faults."""
        request = f"{method} {target}"
        with self._lock:
            self.log.append(request)
            for planned in [plan for plan in self.before if re.search(plan[0], request)]:
                self.before.remove(planned)
                planned[1]()
            fault = next((fault for fault in self.faults if fault.applies(request)), None)
            try:
                if fault and not fault.after:
                    raise ApiError(fault.status, "injected fault")
                answer = self._route(method, target, headers, body)
                for planned in [plan for plan in self.after if re.search(plan[0], request)]:
                    self.after.remove(planned)
                    planned[1]()
                if fault:
                    raise ApiError(fault.status, "injected fault, after the request took effect")
            except ApiError as error:
                shown = {"X-Error-Message": str(error)}
                if error.code:
                    shown["X-Error-Code"] = error.code
                return Answer(_json({"error": str(error)}), error.status, shown)
            return answer

    def _route(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        url = urlsplit(target)
        allowed = headers.get("authorization") == f"Bearer {TOKEN}"
        # Uploads go to a signed address, which is its own permission.
        free = ("/paths-info/", "/api/validate-yaml", "/lfs/")
        reads = method in ("GET", "HEAD") or any(part in url.path for part in free)
        if not (allowed or reads) or (url.path.endswith("/batch") and not allowed):
            raise ApiError(401, "Invalid credentials in Authorization header")
        routes: list[tuple[str, Callable[..., Answer]]] = [
            (r"(?:GET) /api/whoami-v2", self._whoami),
            (r"POST /api/validate-yaml", lambda _: Answer(_json({"errors": [], "warnings": []}))),
            (r"POST /api/repos/create", self._create),
            (r"POST /(?:datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", self._lfs_batch),
            (r"PUT /lfs/([0-9a-f]{64})", self._lfs_put),
            (r"POST /lfs/verify", self._lfs_verify),
            (r"(?:GET|HEAD) /api/(?:datasets|models)/([^/]+/[^/]+)", self._info),
            (r"(?:GET|HEAD) /api/(?:datasets|models)/([^/]+/[^/]+)/revision/(.+)", self._info),
            (r"GET /api/(?:datasets|models)/([^/]+/[^/]+)/refs", self._refs),
            (r"GET /api/(?:datasets|models)/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?", self._tree),
            (r"POST /api/(?:datasets|models)/([^/]+/[^/]+)/paths-info/(.+)", self._paths_info),
            (r"POST /api/(?:datasets|models)/([^/]+/[^/]+)/preupload/(.+)", self._preupload),
            (r"POST /api/(?:datasets|models)/([^/]+/[^/]+)/commit/(.+)", self._commit),
            (r"POST /api/(?:datasets|models)/([^/]+/[^/]+)/tag/(.+)", self._create_tag),
            (r"PUT /api/(?:datasets|models)/([^/]+/[^/]+)/settings", self._settings),
            (r"(?:GET|HEAD) /(?:datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._download),
        ]
        for pattern, route in routes:
            match = re.fullmatch(pattern, f"{method} {url.path}")
            if match:
                hidden = match.groups() and self._is_hidden(match[1], allowed)
                if hidden and "/lfs/" not in pattern:
                    raise ApiError(404 if allowed else 401, "Repository not found", "RepoNotFound")
                context = _Request(headers, body, parse_qs(url.query))
                return route(context, *match.groups())
        raise ApiError(404, f"the stand-in has no route for {method} {url.path}")

    def _is_hidden(self, repo_id: str, allowed: bool) -> bool:
        repo = self.repositories.get(repo_id)
        return repo is None or (repo.private and not allowed)

    def _whoami(self, _: "_Request") -> Answer:
        return Answer(_json({"type": "user", "name": USER, "orgs": [], "auth": {}}))

    def _create(self, request: "_Request") -> Answer:
        wanted = request.json()
        repo_id = f"{wanted.get('organization') or USER}/{wanted['name']}"
        url = f"{self.endpoint}/datasets/{repo_id}"
        if repo_id in self.repositories:
            return Answer(_json({"error": "You already created this repo", "url": url}), 409)
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        repo = self.repositories[repo_id] = Repository(repo_id, private)
        repo.commit({".gitattributes": Blob(b"*.parquet filter=lfs -text\n")}, "initial commit")
        return Answer(_json({"url": url, "name": repo_id, "id": repo_id}))

    def _info(self, _: "_Request", repo_id: str, revision: str = "main") -> Answer:
        repo = self.repositories[repo_id]
        return Answer(_json(repo.info(repo.resolve(revision))))

    def _settings(self, request: "_Request", repo_id: str) -> Answer:
        self.repositories[repo_id].gated = request.json()["gated"]
        return Answer(_json({}))

    def _refs(self, _: "_Request", repo_id: str) -> Answer:
        repo = self.repositories[repo_id]

        def shown(kind: str, refs: dict[str, str]) -> list[dict[str, str]]:
            return [
                {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}
                for name, commit in refs.items()
            ]

        return Answer(
            _json(
                {
                    "branches": shown("heads", {"main": repo.head}),
                    "tags": shown("tags", repo.tags),
                    "converts": [],
                }
            )
        )

    def _tree(self, request: "_Request", repo_id: str, revision: str, sub: str | None) -> Answer:
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
        return Answer(_json(list(listing.values())))

    def _paths_info(self, request: "_Request", repo_id: str, revision: str) -> Answer:
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
        return Answer(_json(shown))

    def _preupload(self, request: "_Request", repo_id: str, revision: str) -> Answer:
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
        return Answer(_json({"files": files}))

    def _lfs_batch(self, request: "_Request", repo_id: str) -> Answer:
        objects = []
        for wanted in request.json()["objects"]:
            shown = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
            if wanted["oid"] not in self.lfs_store:
                authorization = {"authorization": f"Bearer {TOKEN}"}
                shown["actions"] = {
                    "upload": {
                        "href": f"{self.endpoint}/lfs/{wanted['oid']}",
                        "header": authorization,
                    },
                    "verify": {"href": f"{self.endpoint}/lfs/verify", "header": authorization},
                }
            objects.append(shown)
        return Answer(_json({"transfer": "basic", "objects": objects}))

    def _lfs_put(self, request: "_Request", oid: str) -> Answer:
        if hashlib.sha256(request.body).hexdigest() != oid:
            raise ApiError(400, "the content does not have this oid")
        self.lfs_store[oid] = request.body
        return Answer(b"", headers={"ETag": f'"{oid}"'})

    def _lfs_verify(self, request: "_Request") -> Answer:
        if request.json()["oid"] not in self.lfs_store:
            raise ApiError(404, "missing object")
        return Answer(_json({}))

    def _commit(self, request: "_Request", repo_id: str, branch: str) -> Answer:
        repo = self.repositories[repo_id]
        if branch != "main":
            raise ApiError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        tree = dict(repo.commits[repo.head])
        title = ""
        for line in request.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header":
                    title = value["summary"]
                    if value.get("parentCommit") not in (None, repo.head):
                        raise ApiError(412, "A commit has happened since. Please refresh.")
                case "file":
                    tree[value["path"]] = Blob(base64.b64decode(value["content"]))
                case "lfsFile":
                    if value["oid"] not in self.lfs_store:
                        raise ApiError(400, f"lfs object {value['oid']} was not uploaded")
                    tree[value["path"]] = Blob(self.lfs_store[value["oid"]], lfs=True)
                case "deletedFile":
                    if tree.pop(value["path"], None) is None:
                        raise ApiError(404, "A file with this name doesn't exist", "EntryNotFound")
                case unknown:
                    raise ApiError(400, f"unknown operation {unknown}")
        commit = repo.commit(tree, title)
        url = f"{self.endpoint}/datasets/{repo_id}/commit/{commit}"
        return Answer(_json({"success": True, "commitOid": commit, "commitUrl": url}))

    def _create_tag(self, request: "_Request", repo_id: str, revision: str) -> Answer:
        repo = self.repositories[repo_id]
        name = request.json()["tag"]
        if name in repo.tags:
            raise ApiError(409, f"Tag reference exists already: {name}")
        repo.tags[name] = repo.resolve(revision)
        return Answer(_json({"name": name}))

    def _download(self, request: "_Request", repo_id: str, revision: str, path: str) -> Answer:
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
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range") or "")
        if span is None:
            return Answer(content, headers=headers)
        start, end = int(span[1]), int(span[2] or len(content) - 1)
        if start >= len(content):
            return Answer(b"", 416, {"Content-Range": f"bytes */{len(content)}"})
        part = content[start : end + 1]
        reached = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        return Answer(part, 206, {**headers, "Content-Range": reached})


@dataclass(frozen=True)
class _Request:
    headers: Any
    body: bytes
    query: dict[str, list[str]]

    def json(self) -> Any:
        return json.loads(self.body)


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _folder_entry(path: str) -> dict[str, Any]:
    oid = hashlib.sha1(path.encode()).hexdigest()
    return {"type": "directory", "path": path, "oid": oid, "size": 0}


def _handler_of(hub: HubStandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Without these each answer waits 40 ms: headers and body go apart, the second held for an acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Stay silent: the stand-in has its own log."""

        def _respond(self) -> None:
            answer = hub.answer(self.command, self.path, self.headers, self._body())
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _respond  # noqa: N815

        def _body(self) -> bytes:
            if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

    return Handler
