"""A dataset may lie on S3 or on a web server: its copy here is made once, whole, and within bounds."""

import hashlib
import io
import json
import multiprocessing
import os
import pickle
import shutil
import socket
import stat
import tarfile
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from conftest import keys

from syndet_ray.cache_folders import delete_unused, is_being_deleted
from syndet_ray.data.decode import decode
from syndet_ray.data.read import read
from syndet_ray.data.remote import bucket, download, node_cache, unpack
from syndet_ray.data.remote.address import (
    for_record,
    is_address,
    photo_place,
    web_file,
    without_queries,
)
from syndet_ray.data.remote.catalogue import CATALOGUE, CatalogueEntry, CatalogueFile
from syndet_ray.data.remote.local import NodeCopy, local_folder
from syndet_ray.data.remote.public import fetch_public
from syndet_ray.errors import DataError, MachineError
from syndet_ray.locks import hold_lock
from syndet_ray.tuning.options import Options
from syndet_ray.tuning.record import plain_options, saved_options
from syndet_ray.workers.nodes.needs import Needs, problems_here

SUM = "0" * 64


def ignore(name, done, total):
    """Shows no progress."""


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(download, "_PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(bucket, "_PAUSES_S", (0.0,))
    yield
    forget_uses()


def forget_uses():
    """Ends the use of all datasets, as the end of this process would."""
    for used in node_cache._uses.values():
        os.close(used)
    node_cache._uses.clear()


@pytest.fixture(scope="module")
def session():
    return boto3.Session()


@pytest.fixture(autouse=True)
def _one_session(session, monkeypatch):
    """A session reads descriptions of all services, which takes most of the time of these tests."""
    monkeypatch.setattr(boto3, "Session", lambda: session)


# --- addresses ---


@pytest.mark.parametrize("place", ["photos", "/a/b", "a:b", Path("photos")])
def test_a_path_stays_a_path(place, tmp_path):
    assert photo_place(place) == Path(place)
    assert local_folder(place, tmp_path, ignore) == Path(place)
    assert not is_address(place)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://x.org/a.zip", r"a.zip: must come with its checksum: .* Add #sha256= and the sum"),
        ("https://x.org/a.zip#12ab", r"must end with #sha256=HEX, got '#12ab'"),
        ("https://x.org/a.zip#md5=12ab", r"must end with #sha256=HEX, got '#md5=12ab'"),
        ("https://x.org/a.zip#sha256=12ab", r"64 hexadecimal digits, got '12ab'"),
        (f"http://x.org/a.zip#sha256={SUM}", r"must begin with https://: on the way"),
        (f"https://x.org/a.7z#sha256={SUM}", r"must name a file that ends with .zip, .tar, "),
        (f"https://x.org/#sha256={SUM}", r"must name a file that ends with .zip"),
        (f"https:///a.zip#sha256={SUM}", r"is no address of a web server"),
        (f"https://x.org:80x/a.zip#sha256={SUM}", r"is no address \(Port could not be cast"),
        ("gs://bucket/photos", r"a kind of address that cannot be read, gs://. Give a folder, s3:"),
        ("file:///photos", r"cannot be read, file://"),
        ("s3://", r"must be s3://bucket/prefix"),
        ("s3://b/a?secret_key=hush", r"s3://b/a: may say after \? only .*, got \['secret_key'\]"),
        ("s3://bucket/photos#1", r"must be s3://bucket/prefix"),
        (Path("s3://bucket/photos"), r"s3:/bucket/photos: is an address with a slash too few"),
    ],
)
def test_an_address_that_cannot_be_used_is_named(address, message):
    with pytest.raises(DataError, match=message):
        photo_place(address)


@pytest.mark.parametrize("login", ["me:secret@", "secret@"])
@pytest.mark.parametrize("kind", ["s3", "https"])
def test_a_login_in_an_address_is_refused_and_not_repeated(kind, login):
    with pytest.raises(DataError, match=r"must hold no (keys|name or password)") as refusal:
        photo_place(f"{kind}://{login}x.org/a.zip#sha256={SUM}")
    assert "secret" not in str(refusal.value)


def test_a_token_is_used_and_neither_shown_nor_kept():
    address = f"https://x.org/a.zip?token=secret#sha256={SUM}"
    assert web_file(address).url.endswith("?token=secret")
    assert for_record(address) == f"https://x.org/a.zip#sha256={SUM}"
    with pytest.raises(DataError) as refusal:
        photo_place("https://x.org/a.zip?token=secret")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
@pytest.mark.parametrize("token", ["secret", "it's=secret", 'a"secret'])
def test_a_command_line_is_kept_without_tokens(scheme, token):
    words = [f"--real={scheme}://x.org/a.zip?token={token}#sha256={SUM}", "--runs", "b?c"]
    assert without_queries(words) == [
        f"--real={scheme}://x.org/a.zip#sha256={SUM}",
        "--runs",
        "b?c",
    ]


@pytest.mark.parametrize(
    "address", ["https://me:secret@x.org:80x/a.zip", "https:/me:secret@x.org/a.zip?b=secret"]
)
def test_a_broken_address_is_shown_without_its_login(address):
    with pytest.raises(DataError) as refusal:
        photo_place(address)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "place",
    [f"https://x.org/a.zip#sha256={SUM}", "s3://b/a?endpoint_override=x&scheme=http", Path("/a/b")],
)
def test_a_run_is_resumed_from_the_same_place(place, tmp_path):
    options = Options(runs=tmp_path, real=place)
    assert saved_options(json.loads(json.dumps(plain_options(options)))).real == place


# --- S3 ---


@pytest.fixture
def stored(s3, dice):
    """The dice on S3, by its client."""
    for path in dice.rglob("*"):
        if path.is_file():
            s3.upload_file(str(path), "photos", f"my/dice/{path.relative_to(dice).as_posix()}")
    return s3


@pytest.fixture
def fetched(monkeypatch):
    """The names of the objects that are fetched, in any order."""
    names = []
    original = bucket._continue

    def count(client, bucket_name, wanted, part, stop):
        names.append(wanted.name)
        original(client, bucket_name, wanted, part, stop)

    monkeypatch.setattr(bucket, "_continue", count)
    return names


ADDRESS = "s3://photos/my/dice"


def test_a_dataset_on_s3_is_copied_once(stored, fetched, dice, tmp_path):
    reports = []
    folder = local_folder(ADDRESS, tmp_path, lambda *report: reports.append(report))
    assert folder.name == "dice" and folder.is_relative_to(tmp_path / "data")
    files = {path.relative_to(dice) for path in dice.rglob("*") if path.is_file()}
    assert {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} == files
    assert all((folder / file).read_bytes() == (dice / file).read_bytes() for file in files)
    assert sorted(fetched) == sorted(map(str, files))
    assert reports[0] == (f"fetching {ADDRESS}", 0, 16) and reports[-1][1:] == (16, 16)
    assert len(read(folder).splits) == 3
    fetched.clear()
    assert local_folder(f"{ADDRESS}/", tmp_path, ignore) == folder
    assert fetched == []


def streamed(cache):
    """The training photos of a dataset on S3, streamed from the copy of the driver's node."""
    folder = local_folder(ADDRESS, cache, ignore)
    pool = decode(read(folder).splits["train"], 64, streamed=True)
    node_copy = NodeCopy.of(ADDRESS, cache)
    return replace(pool, pixels=replace(pool.pixels, node_copy=node_copy)), folder


def test_a_node_that_joins_later_copies_what_it_streams_once(stored, fetched, tmp_path):
    pool, folder = streamed(tmp_path)
    expected = [pool.image(i).tobytes() for i in range(len(pool))]
    objects = len(fetched)
    arrived = pickle.loads(pickle.dumps(pool.select([2, 1])))
    shutil.rmtree(folder.parent)  # as on a node that has nothing yet
    fetched.clear()
    assert [arrived.image(i).tobytes() for i in range(2)] == [expected[2], expected[1]]
    assert len(fetched) == objects
    assert [pool.image(i).tobytes() for i in range(len(pool))] == expected
    assert len(fetched) == objects


def test_nodes_are_checked_after_they_have_copied_what_they_lack(stored, fetched, tmp_path):
    pool, folder = streamed(tmp_path)
    files = pool.pixels.files
    needs = Needs(
        libraries={}, files={}, detectors=(), classes=pool.classes, photos=files,
        node_copy=pool.pixels.node_copy,
    )  # fmt: skip
    shutil.rmtree(folder.parent)
    assert problems_here(needs, None, trains=False) == [] and not folder.exists()
    assert problems_here(needs, None, trains=True) == [] and folder.exists()
    shutil.rmtree(folder.parent)
    (problem,) = problems_here(replace(needs, node_copy=None), None, trains=True)
    assert "cannot be read here (No such file or directory)" in problem


def test_only_what_has_changed_on_either_side_is_copied_again(stored, fetched, tmp_path):
    folder = local_folder(ADDRESS, tmp_path, ignore)
    fetched.clear()
    stored.put_object(Bucket="photos", Key="my/dice/train/0.png", Body=b"new")
    stored.put_object(Bucket="photos", Key="my/dice/more/x.txt", Body=b"x")
    stored.delete_object(Bucket="photos", Key="my/dice/val/1.png")
    (folder / "test" / "0.png").write_bytes(b"mine")
    (folder / "test" / "1.png").unlink()
    assert local_folder(ADDRESS, tmp_path, ignore) == folder
    assert sorted(fetched) == ["more/x.txt", "test/0.png", "test/1.png", "train/0.png"]
    assert (folder / "train" / "0.png").read_bytes() == b"new"
    assert not (folder / "val" / "1.png").exists()


def test_an_interrupted_copy_goes_on_where_it_stopped(stored, fetched, tmp_path, monkeypatch):
    counting = bucket._continue

    def end_after_ten(*arguments):
        if len(fetched) >= 10:
            raise KeyboardInterrupt
        counting(*arguments)

    monkeypatch.setattr(bucket, "_continue", end_after_ten)
    monkeypatch.setattr(bucket, "_AT_ONCE", 1)
    with pytest.raises(KeyboardInterrupt):
        local_folder(ADDRESS, tmp_path, ignore)
    first = list(fetched)
    monkeypatch.setattr(bucket, "_continue", counting)
    folder = local_folder(ADDRESS, tmp_path, ignore)
    assert len(first) == 10 and sorted(fetched) == sorted(set(fetched)) and len(fetched) == 16
    assert list(folder.rglob("*.part")) == []


def test_a_half_object_and_a_cut_line_of_the_journal_are_completed(s3, tmp_path, monkeypatch):
    s3.put_object(Bucket="photos", Key="a/x.bin", Body=b"0123456789")
    folder = local_folder("s3://photos/a", tmp_path, ignore)
    (folder / "x.bin").unlink()
    etag = s3.head_object(Bucket="photos", Key="a/x.bin")["ETag"]
    bucket._part(folder / "x.bin", etag).write_bytes(b"01234")
    journal = folder.with_name("objects.jsonl")
    journal.write_text(journal.read_text()[:-20])
    asked = []
    answer_of = bucket.s3

    def spy(address, config=None):
        client, place = answer_of(address, config)
        client.meta.events.register(
            "before-call.s3.GetObject", lambda params, **_: asked.append(params["headers"])
        )
        return client, place

    monkeypatch.setattr(bucket, "s3", spy)
    local_folder("s3://photos/a", tmp_path, ignore)
    assert (folder / "x.bin").read_bytes() == b"0123456789"
    assert [headers["Range"] for headers in asked] == ["bytes=5-"]
    local_folder("s3://photos/a", tmp_path, ignore)
    assert len(asked) == 1


def test_a_half_object_that_was_damaged_here_is_fetched_again(s3, fetched, tmp_path):
    """As a power cut may leave it: of the right length, and zeros."""
    s3.put_object(Bucket="photos", Key="a/x.bin", Body=b"0123456789")
    folder = local_folder("s3://photos/a", tmp_path, ignore)
    etag = s3.head_object(Bucket="photos", Key="a/x.bin")["ETag"]
    for half in (bytes(5), bytes(10)):
        (folder / "x.bin").unlink()
        bucket._part(folder / "x.bin", etag).write_bytes(half)
        local_folder("s3://photos/a", tmp_path, ignore)
        assert (folder / "x.bin").read_bytes() == b"0123456789"
    assert fetched == ["x.bin"] * 5
    assert bucket._is_of_etag(folder / "x.bin", '"0123456789abcdef0123456789abcdef-2"')


def _copy(cache, names):
    counting = bucket._continue

    def count(client, bucket_name, wanted, part, stop):
        names.put(wanted.name)
        counting(client, bucket_name, wanted, part, stop)

    bucket._continue = count
    local_folder(ADDRESS, cache, ignore)


def test_two_processes_copy_it_once(stored, tmp_path):
    fork = multiprocessing.get_context("fork")
    names = fork.SimpleQueue()
    processes = [fork.Process(target=_copy, args=(tmp_path, names)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    fetched = [names.get() for _ in range(16)]
    assert names.empty() and len(set(fetched)) == 16
    assert [process.exitcode for process in processes] == [0, 0]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("a/../../x.txt", r"s3://photos/a/../../x.txt: has a name that leads out of its folder"),
        ("a//etc/x", r"s3://photos/a//etc/x: has a name that leads out of its folder"),
        ("a/C:\\x", r"has a name that leads out of its folder"),
        ("a/x//y/z", r"holds two objects that would be one file, a/x//y/z and a/x/y/z"),
        ("a/x\\y/z", r"holds two objects that would be one file"),
        ("a/y/z", r"holds y and y/z: here, one name is no file and folder at once"),
    ],
)
def test_objects_that_cannot_be_files_are_named(s3, key, message, tmp_path):
    for present in ("a/y", "a/x/y/z", key):
        s3.put_object(Bucket="photos", Key=present, Body=b"")
    if key not in keys(s3):
        pytest.skip(f"the server of the tests keeps no key {key}")
    with pytest.raises(DataError, match=message):
        local_folder("s3://photos/a", tmp_path / "cache", ignore)
    assert not (tmp_path / "x.txt").exists()


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("s3://photos/none", DataError, r"s3://photos/none: holds no objects. Correct the bucket"),
        ("s3://lost/a", MachineError, r"s3://lost/a: cannot be read \(NoSuchBucket\). Correct the"),
    ],
)
def test_a_prefix_without_objects_is_named(s3, address, error, message, tmp_path):
    with pytest.raises(error, match=message):
        local_folder(address, tmp_path, ignore)
    assert [path for path in (tmp_path / "data").iterdir() if path.is_dir()] == []


def test_a_bucket_that_refuses_is_named_with_the_rights_to_read(stored, tmp_path):
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::photos/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [deny]}
    stored.put_bucket_policy(Bucket="photos", Policy=json.dumps(policy))
    with pytest.raises(MachineError, match=r"cannot be read .* role or key list and read the obj"):
        local_folder(ADDRESS, tmp_path, ignore)


def test_a_prefix_with_far_too_many_objects_is_refused(stored, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket, "MOST_OBJECTS", 10)
    with pytest.raises(DataError, match=r"holds more than 10 objects. Give the prefix of one data"):
        local_folder(ADDRESS, tmp_path, ignore)


def test_an_object_that_changes_meanwhile_is_named(stored, tmp_path, monkeypatch):
    counting = bucket._continue

    def change_first(client, bucket_name, wanted, part, stop):
        client.put_object(Bucket=bucket_name, Key=wanted.key, Body=b"other")
        counting(client, bucket_name, wanted, part, stop)

    monkeypatch.setattr(bucket, "_continue", change_first)
    with pytest.raises(DataError, match=r"changed while it was copied.* Try again"):
        local_folder(ADDRESS, tmp_path, ignore)
    monkeypatch.setattr(bucket, "_continue", counting)
    folder = local_folder(ADDRESS, tmp_path, ignore)
    assert (folder / "train" / "0.png").stat().st_size > 0


# --- the cache ---


def copy_of(s3, name, tmp_path, size=600_000):
    s3.put_object(Bucket="photos", Key=f"{name}/x.bin", Body=bytes(size))
    return local_folder(f"s3://photos/{name}", tmp_path, ignore)


def test_the_dataset_that_was_used_longest_ago_goes_first_and_whole(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNDET_DATA_CACHE_GB", "0.0015")
    first, second = copy_of(s3, "a", tmp_path), copy_of(s3, "b", tmp_path)
    forget_uses()
    os.utime(node_cache.use_marker(first.parent), (1, 1))
    third = copy_of(s3, "c", tmp_path)
    assert [folder.exists() for folder in (first.parent, second, third)] == [False, True, True]


def test_a_dataset_in_use_stays_and_the_new_one_is_refused(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNDET_DATA_CACHE_GB", "0.001")
    first = copy_of(s3, "a", tmp_path)
    with pytest.raises(
        MachineError,
        match=r"s3://photos/b: needs \d+ kB more, and .*data may take 1 MB, of which da",
    ):
        copy_of(s3, "b", tmp_path)
    assert first.exists()
    with pytest.raises(MachineError, match=r"Set SYNDET_DATA_CACHE_GB to more gigabytes"):
        copy_of(s3, "b", tmp_path)


def test_a_full_disk_is_named_before_anything_is_fetched(s3, fetched, tmp_path, monkeypatch):
    monkeypatch.setattr(node_cache, "_SPARE_BYTES", 10**18)
    monkeypatch.setenv("SYNDET_DATA_CACHE_GB", "50")
    with pytest.raises(MachineError, match=r"needs \d+ kB more in .* and .* are free. Make room"):
        copy_of(s3, "a", tmp_path)
    assert fetched == []


def test_what_another_process_uses_is_not_changed_under_it(s3, tmp_path):
    folder = copy_of(s3, "a", tmp_path, size=3)
    marker = node_cache.use_marker(folder.parent)
    forget_uses()
    with marker.open() as other:
        node_cache.lock(other.fileno(), shared=True)
        assert copy_of(s3, "a", tmp_path, size=3) == folder  # it has not changed
        with pytest.raises(MachineError, match=r"has changed, and another process uses the copy"):
            copy_of(s3, "a", tmp_path, size=4)
    assert copy_of(s3, "a", tmp_path, size=4) == folder
    assert (folder / "x.bin").stat().st_size == 4


def test_without_locks_it_works_and_deletes_nothing(s3, tmp_path, no_locks, monkeypatch):
    monkeypatch.setenv("SYNDET_DATA_CACHE_GB", "0.001")
    first = copy_of(s3, "a", tmp_path)
    with pytest.raises(MachineError, match="may take"):
        copy_of(s3, "b", tmp_path)
    assert first.exists()


# --- web servers ---


class Web:
    """A web server on this machine. files: content by path; ranges: whether it sends parts."""

    def __init__(self):
        self.files, self.requests = {}, []
        self.ranges, self.break_after, self.failures = True, None, 0
        self.redirect, self.etag = None, None
        self.silence = threading.Event()

    def address(self, path, content=None):
        sum_words = sha256(self.files[path] if content is None else content)
        return f"{self.url}{path}#sha256={sum_words}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        web = self.server.web
        web.requests.append((self.path, self.headers.get("Range")))
        if web.failures:
            web.failures -= 1
            self.send_error(503)
            return
        if self.path == "/silent.zip":
            web.silence.wait(10)
            return
        if self.path == "/moved.zip":
            self.send_response(302)
            self.send_header("Location", web.redirect)
            self.end_headers()
            return
        if self.path == "/forbidden.zip":
            self.send_error(403)
            return
        if self.path not in web.files:
            self.send_error(404)
            return
        self.answer(web, web.files[self.path])

    def answer(self, web, content):
        start = 0
        may_continue = self.headers.get("If-Range", web.etag) == web.etag
        if web.ranges and may_continue and "Range" in self.headers:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        if web.etag:
            self.send_header("ETag", web.etag)
        self.end_headers()
        end = len(content) if web.break_after is None else start + web.break_after
        self.wfile.write(content[start:end])


@pytest.fixture(scope="module")
def web_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def web(web_server):
    web = web_server.web = Web()
    web.url = f"http://127.0.0.1:{web_server.server_address[1]}"
    yield web
    web.silence.set()


def zipped(files, folder=""):
    """A zip file of names and contents."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return packed.getvalue()


def tarred(files, mode="w:gz", **fields):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


FILES = {
    "train/a.txt": b"a",
    "train/deep/b.txt": b"b" * 2000,
    "test/c.txt": b"",
    "d.txt": b"d" * 512,
}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/photos.zip", zipped(FILES)),
        ("/github.ZIP", zipped(FILES, "repository-1a2b/inner/")),
        ("/a%20set.tar", tarred(FILES, "w:")),
        ("/set.tar.gz", tarred(FILES)),
        ("/set.tgz", tarred({f"./x/{name}": content for name, content in FILES.items()})),
    ],
)
def test_an_archive_is_fetched_once_checked_and_unpacked(web, path, content, tmp_path):
    web.files[path] = content
    folder = local_folder(web.address(path), tmp_path, ignore)
    assert contents(folder) == FILES
    assert local_folder(web.address(path), tmp_path, ignore) == folder
    assert len(web.requests) == 1
    assert [entry.name for entry in (tmp_path / "data").glob("*/*") if entry.is_file()] == []


def test_a_single_file_is_put_into_a_folder(web, tmp_path):
    web.files["/train.record"] = b"record"
    folder = local_folder(web.address("/train.record"), tmp_path, ignore)
    assert contents(folder) == {"train.record": b"record"}


def test_a_folder_named_after_a_split_stays_one(web, tmp_path):
    web.files["/a.zip"] = zipped({"a.txt": b"a"}, "top/test/")
    assert contents(local_folder(web.address("/a.zip"), tmp_path, ignore)) == {"test/a.txt": b"a"}


def test_a_wrong_sum_is_refused_before_anything_is_unpacked(web, tmp_path):
    web.files["/a.zip"] = zipped(FILES)
    with pytest.raises(
        DataError, match=r"must have the SHA-256 [0-9a-f]{64}, got .* \d+ kB that"
    ) as e:
        local_folder(web.address("/a.zip", b"other"), tmp_path, ignore)
    actual = sha256(web.files["/a.zip"])
    assert actual not in str(e.value) and actual[:12] in str(e.value)
    assert contents(tmp_path / "data").keys() == {
        name for name in contents(tmp_path / "data") if name.endswith((".lock", ".used"))
    }


@pytest.mark.parametrize("ranges", [True, False])
def test_a_transfer_that_breaks_off_goes_on(web, ranges, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_CHUNK_BYTES", 64)
    web.files["/a.zip"], web.ranges, web.break_after = zipped(FILES), ranges, 300
    if ranges:
        folder = local_folder(web.address("/a.zip"), tmp_path, ignore)
        assert [asked for _, asked in web.requests][:2] == [None, "bytes=300-"]
        assert contents(folder) == FILES
    else:
        with pytest.raises(MachineError, match=r"cannot be fetched|broke off in the middle"):
            local_folder(web.address("/a.zip"), tmp_path, ignore)
        web.break_after = None
        assert contents(local_folder(web.address("/a.zip"), tmp_path, ignore)) == FILES


def begin(tmp_path, address, content):
    """Leaves what an interrupted fetch left: the first bytes of the file."""
    file = web_file(address)
    place = node_cache.dataset_folder(tmp_path, f"{file.sha256} {file.name}", "x").parent
    place.mkdir(parents=True)
    part = place / f".{file.name}.part"
    part.write_bytes(content)
    return part


def test_an_interrupted_fetch_asks_for_the_rest_alone(web, tmp_path):
    content = web.files["/a.zip"] = zipped(FILES)
    begin(tmp_path, web.address("/a.zip"), content[:100])
    assert contents(local_folder(web.address("/a.zip"), tmp_path, ignore)) == FILES
    assert web.requests == [("/a.zip", "bytes=100-")]


def test_a_fetch_that_was_killed_at_its_end_is_complete(web, tmp_path):
    content = web.files["/a.zip"] = zipped(FILES)
    begin(tmp_path, web.address("/a.zip"), content)
    assert contents(local_folder(web.address("/a.zip"), tmp_path, ignore)) == FILES
    assert web.requests == [("/a.zip", f"bytes={len(content)}-")]


def test_half_of_another_version_is_thrown_away(web, tmp_path):
    web.files["/a.zip"] = zipped(FILES)
    begin(tmp_path, web.address("/a.zip"), b"old" * 20)
    assert contents(local_folder(web.address("/a.zip"), tmp_path, ignore)) == FILES
    assert [asked for _, asked in web.requests] == ["bytes=60-", None]
    begin(tmp_path / "other", web.address("/a.zip"), b"old" * 10**5)  # longer than the file
    assert contents(local_folder(web.address("/a.zip"), tmp_path / "other", ignore)) == FILES


def test_a_server_with_versions_sends_the_whole_of_another_one(web, tmp_path):
    web.files["/a.zip"], web.etag = zipped(FILES), '"new"'
    part = begin(tmp_path, web.address("/a.zip"), b"old" * 20)
    download._validator_file(part).write_text('"old"')
    assert contents(local_folder(web.address("/a.zip"), tmp_path, ignore)) == FILES
    assert len(web.requests) == 1


def test_a_server_that_is_busy_is_asked_again_and_not_for_ever(web, tmp_path):
    web.files["/a.zip"], web.failures = zipped(FILES), 2
    assert contents(local_folder(web.address("/a.zip"), tmp_path, ignore)) == FILES
    web.failures = 99
    web.files["/b.zip"] = zipped({"x": b"x"})
    with pytest.raises(
        MachineError, match=r"b.zip: answers 503 Service Unavailable. Check the net"
    ):
        local_folder(web.address("/b.zip"), tmp_path, ignore)
    assert web.failures == 99 - 3


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/none.zip", r"none.zip: answers 404 Not Found. It has no such file: correct the address"),
        ("/forbidden.zip", r"forbidden.zip: answers 403 Forbidden. It refuses this machine"),
    ],
)
def test_a_server_that_refuses_is_asked_once(web, path, message, tmp_path):
    with pytest.raises(MachineError, match=message):
        local_folder(web.address(path, b""), tmp_path, ignore)
    assert len(web.requests) == 1


def test_a_silent_server_is_named(web, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_SILENCE_S", 0.05)
    with pytest.raises(
        MachineError, match=r"silent.zip: has been silent for 0.05 s. Check the net"
    ):
        local_folder(web.address("/silent.zip", b""), tmp_path, ignore)


def test_no_server_and_no_host_are_named(web, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(MachineError, match=r"cannot be fetched \(Connection refused\)"):
        local_folder(f"http://127.0.0.1:{port}/a.zip#sha256={SUM}", tmp_path, ignore)

    def fail(*arguments, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MachineError, match=r"x.invalid/a.zip: has a host that cannot be found"):
        local_folder(f"https://x.invalid/a.zip#sha256={SUM}", tmp_path, ignore)


def test_what_speaks_no_tls_and_a_proxy_that_is_away_are_named(web, tmp_path, monkeypatch):
    address = web.address("/a.zip", b"").replace("http://", "https://")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(MachineError, match=r"as if the server spoke none .*Correct its port"):
        local_folder(address, tmp_path, ignore)
    monkeypatch.setenv("NO_PROXY", "")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(
        MachineError, match=r"through the proxy \(Connection refused\)\. Check HTTPS_PR"
    ):
        local_folder(f"https://x.invalid/a.zip#sha256={SUM}", tmp_path, ignore)


def test_redirections_are_followed_and_checked(web, tmp_path):
    web.files["/a.zip"] = zipped(FILES)
    web.redirect = "/a.zip"
    address = web.address("/moved.zip", web.files["/a.zip"])
    assert contents(local_folder(address, tmp_path, ignore)) == FILES
    web.redirect = "http://example.org/a.zip"
    with pytest.raises(DataError, match=r"http://example.org/a.zip: must begin with https://"):
        local_folder(web.address("/moved.zip", b"1"), tmp_path, ignore)
    web.redirect = "/moved.zip"
    with pytest.raises(MachineError, match=r"more than 5 redirections"):
        local_folder(web.address("/moved.zip", b"2"), tmp_path, ignore)


def test_a_file_that_has_no_room_is_not_fetched(web, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNDET_DATA_CACHE_GB", "0.0001")
    web.files["/a.zip"] = os.urandom(200_000)
    with pytest.raises(MachineError, match=r"is larger than the 100 kB that there is room for"):
        local_folder(web.address("/a.zip"), tmp_path, ignore)


def test_a_file_takes_the_room_of_datasets_used_before(web, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNDET_DATA_CACHE_GB", "0.001")
    web.files |= {f"/{name}.zip": zipped({"x": os.urandom(400_000)}) for name in "ab"}
    first = local_folder(web.address("/a.zip"), tmp_path, ignore)
    forget_uses()
    second = local_folder(web.address("/b.zip"), tmp_path, ignore)
    assert [first.exists(), second.exists()] == [False, True]


# --- archives ---


def linked_zip(kind):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = (kind | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    return packed.getvalue()


def encrypted_zip():
    content = bytearray(zipped({"a": b"a"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def twice_zip():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", "1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a", "2")
    return packed.getvalue()


def huge_header():
    """A tar file whose header claims a comment of 1 GB."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 10**9
    return member.tobuf() + bytes(10**5)


REFUSED = {
    "up.zip": (zipped({"../x": b""}), r"up.zip, ../x: has a name that leads out of its folder"),
    "deep.zip": (zipped({"a/../../x": b""}), r"leads out of its folder"),
    "absolute.zip": (zipped({"/etc/x": b""}), r"leads out of its folder"),
    "windows.zip": (zipped({"..\\x": b""}), r"leads out of its folder"),
    "drive.zip": (zipped({"C:/x": b""}), r"leads out of its folder"),
    "link.zip": (linked_zip(stat.S_IFLNK), r"link.zip, link: is a link or a device, not a file"),
    "device.zip": (linked_zip(stat.S_IFCHR), r"is a link or a device"),
    "secret.zip": (encrypted_zip(), r"secret.zip, a: is encrypted. Unpack it by hand"),
    "twice.zip": (twice_zip(), r"twice.zip, a: is in the archive twice"),
    "both.zip": (zipped({"a": b"", "a/b": b""}), r"uses one name for a file and a folder"),
    "bomb.zip": (zipped({"zeros": bytes(10**6)}), r"bomb.zip: grows to more than 200 times its"),
    "many.zip": (zipped({str(i): b"" for i in range(60)}), r"many.zip: holds more than 50 files"),
    "empty.zip": (zipped({"__MACOSX/._a": b""}), r"empty.zip: holds no files"),
    "page.zip": (b"<html>not here</html>", r"page.zip: is damaged, or no such archive \(File is"),
    "cut.zip": (zipped(FILES)[:-30], r"is damaged"),
    "up.tar": (tarred({"../x": b""}, "w:"), r"leads out of its folder"),
    "absolute.tgz": (tarred({"/etc/x": b""}), r"leads out of its folder"),
    "link.tgz": (tarred({"a": b""}, type=tarfile.SYMTYPE, linkname="/etc"), r"is a link or a dev"),
    "hard.tgz": (tarred({"a": b""}, type=tarfile.LNKTYPE, linkname="b"), r"is a link or a device"),
    "device.tgz": (tarred({"a": b""}, type=tarfile.BLKTYPE), r"is a link or a device"),
    "fifo.tar": (tarred({"a": b""}, "w:", type=tarfile.FIFOTYPE), r"is a link or a device"),
    "bomb.tgz": (tarred({"zeros": bytes(10**6)}), r"bomb.tgz: grows to more than 200 times"),
    "header.tar": (huge_header(), r"has a header that is far too large"),
    "cut.tgz": (tarred(FILES)[:-40], r"is damaged"),
    "page.tar": (b"<html>" * 200, r"is damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_archive_that_may_do_harm_is_refused_and_leaves_nothing(
    name, web, tmp_path, monkeypatch
):
    monkeypatch.setattr(unpack, "_SMALL_BYTES", 10**5)
    monkeypatch.setattr(unpack, "MOST_FILES", 50)
    content, message = REFUSED[name]
    web.files[f"/{name}"] = content
    with pytest.raises(DataError, match=message):
        local_folder(web.address(f"/{name}"), tmp_path / "cache", ignore)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in left} <= {".lock", ".used"}


def test_an_archive_that_has_no_room_unpacked_is_refused(web, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNDET_DATA_CACHE_GB", "0.0002")
    web.files["/a.zip"] = zipped({"zeros": bytes(300_000)})
    with pytest.raises(MachineError, match=r"holds more than the 200 kB that there is room for"):
        local_folder(web.address("/a.zip"), tmp_path, ignore)


def test_names_are_read_whatever_wrote_them_and_junk_is_left_out(web, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("utf8.jpg", "dos.jpg", "f\\w.jpg", "__MACOSX/._x", "f/._y", "f/.DS_Store"):
            archive.writestr(name, b"1")
        archive.writestr("f\\", b"")
        archive.writestr("inner.zip", zipped(FILES))
    renamed = packed.getvalue().replace(b"utf8.jpg", "фо.j".encode() + b"pg")
    renamed = renamed.replace(b"dos.jpg", "fön.jpg".encode("cp437"))
    web.files["/a.zip"] = renamed
    folder = local_folder(web.address("/a.zip"), tmp_path, ignore)
    assert contents(folder).keys() == {"фо.jpg", "fön.jpg", "f/w.jpg", "inner.zip"}


# --- the catalogue ---


def entry(web, *files, sums=True, **fields):
    catalogue_files = []
    for path in files:
        digits = sha256(web.files[path]) if sums else None
        catalogue_files.append(
            CatalogueFile(url=f"{web.url}{path}", name=path[1:], size=10, sha256=digits, **fields)
        )
    return CatalogueEntry(
        name="tiny", about="a", licence="b", citation="c", files=tuple(catalogue_files)
    )


def test_a_public_dataset_is_fetched_once_with_its_sums(web, tmp_path):
    web.files |= {"/train.record": b"1", "/map.pbtxt": b"2"}
    tiny = entry(web, "/train.record", "/map.pbtxt")
    data = fetch_public(tiny, tmp_path / "tiny", ignore)
    assert (data.is_new, data.unchecked) == (True, {})
    assert contents(tmp_path / "tiny") == {"train.record": b"1", "map.pbtxt": b"2"}
    kept = json.loads(data.lock.read_text())
    assert kept["sha256"] == {"train.record": sha256(b"1"), "map.pbtxt": sha256(b"2")}
    assert not fetch_public(tiny, tmp_path / "tiny", ignore).is_new
    assert len(web.requests) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny", "tiny.lock.json"]


def test_an_interrupted_fetch_keeps_the_files_that_came(web, tmp_path):
    web.files |= {"/a.record": b"1", "/b.record": b"2"}
    tiny = entry(web, "/a.record", "/b.record")
    del web.files["/b.record"]
    with pytest.raises(MachineError, match="404"):
        fetch_public(tiny, tmp_path / "tiny", ignore)
    assert not (tmp_path / "tiny").exists()
    web.files["/b.record"] = b"2"
    fetch_public(tiny, tmp_path / "tiny", ignore)
    assert [path for path, _ in web.requests] == ["/a.record", "/b.record", "/b.record"]


def test_a_file_of_an_interrupted_fetch_is_checked_again(web, tmp_path):
    web.files |= {"/a.record": b"1", "/set.zip": zipped(FILES)}
    files = tmp_path / ".tiny.fetching" / "files"
    files.mkdir(parents=True)
    (files / "a.record").write_bytes(b"damaged")
    fetch_public(entry(web, "/a.record"), tmp_path / "tiny", ignore)
    assert contents(tmp_path / "tiny") == {"a.record": b"1"}
    files = tmp_path / ".other.fetching" / "files"
    files.mkdir(parents=True)
    (files / "set.zip").write_bytes(web.files["/set.zip"])  # killed before its CRC was computed
    with pytest.raises(DataError, match=r"must have the CRC-32 7"):
        fetch_public(entry(web, "/set.zip", sums=False, crc32=7), tmp_path / "other", ignore)


def test_an_archive_that_was_damaged_in_the_cache_is_fetched_again(web, tmp_path):
    web.files["/set.zip"] = zipped(FILES)
    sum_of_set = sha256(web.files["/set.zip"])
    address = f"{web.url}/set.zip#sha256={sum_of_set}"
    loaded = node_cache.dataset_folder(tmp_path, f"{sum_of_set} set.zip", "set").parent / "set.zip"
    loaded.parent.mkdir(parents=True)
    loaded.write_bytes(zipped({"x": b"x"}))
    assert contents(local_folder(address, tmp_path, ignore)) == FILES


def test_the_first_file_without_a_stated_sum_is_trusted_and_another_refused(web, tmp_path):
    web.files["/set.zip"] = zipped(FILES, "top/")
    tiny = entry(web, "/set.zip", sums=False)
    data = fetch_public(tiny, tmp_path / "tiny", ignore)
    assert data.unchecked == {"set.zip": sha256(web.files["/set.zip"])}
    assert contents(tmp_path / "tiny") == FILES
    (tmp_path / "tiny").rename(tmp_path / "away")
    assert fetch_public(tiny, tmp_path / "tiny", ignore).unchecked == {}
    (tmp_path / "tiny").rename(tmp_path / "again")
    web.files["/set.zip"] = zipped({"x": b"x"})
    with pytest.raises(
        DataError, match=r"must have the SHA-256 .*tiny.lock.json keeps the sum of t"
    ):
        fetch_public(tiny, tmp_path / "tiny", ignore)
    assert not (tmp_path / "tiny").exists()


def test_a_fetch_that_brings_nothing_leaves_nothing(web, tmp_path):
    web.files["/a.record"] = b"1"
    tiny = entry(web, "/a.record")
    web.files.clear()
    with pytest.raises(MachineError, match="404"):
        fetch_public(tiny, tmp_path / "tiny", ignore)
    assert list(tmp_path.iterdir()) == []


def test_two_fetches_into_one_folder_are_refused(web, tmp_path):
    web.files["/a.record"] = b"1"
    (tmp_path / ".tiny.fetching").mkdir()
    refusal = pytest.raises(MachineError, match=r"tiny: is being fetched by another process")
    with hold_lock(tmp_path / ".tiny.fetching" / ".lock"), refusal:
        fetch_public(entry(web, "/a.record"), tmp_path / "tiny", ignore)
    assert fetch_public(entry(web, "/a.record"), tmp_path / "tiny", ignore).is_new


def test_a_cache_that_cannot_be_written_is_named(s3, read_only):
    with pytest.raises(MachineError, match=r"cannot be written \(Permission denied\)"):
        local_folder("s3://photos/a", read_only, ignore)


def test_a_wrong_crc_is_refused(web, tmp_path):
    web.files["/set.zip"] = zipped(FILES)
    with pytest.raises(DataError, match=r"must have the CRC-32 7, as its publisher states, got"):
        fetch_public(entry(web, "/set.zip", sums=False, crc32=7), tmp_path / "tiny", ignore)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"tiny.lock.json: is no file that `data fetch` wrote. Delete it"),
        ('["a"]', r"is no file that `data fetch` wrote"),
        ('{"dataset": "other", "sha256": {}}', r"belongs to another dataset, got 'other'"),
    ],
)
def test_a_lock_file_that_is_none_is_named(web, content, message, tmp_path):
    (tmp_path / "tiny.lock.json").write_text(content)
    with pytest.raises(DataError, match=message):
        fetch_public(entry(web), tmp_path / "tiny", ignore)


def test_a_folder_with_something_else_stays(web, tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(DataError, match=r"is there already. Give a new folder, or an empty one"):
        fetch_public(entry(web), tmp_path, ignore)
    with pytest.raises(DataError, match=r"is there already"):
        fetch_public(entry(web), tmp_path / "x", ignore)


def test_free_disk_is_checked_before_a_fetch(web, tmp_path, monkeypatch):
    monkeypatch.setattr("syndet_ray.data.remote.public._SPARE_BYTES", 10**18)
    web.files["/set.zip"] = zipped(FILES)
    with pytest.raises(MachineError, match=r"needs \d kB, and 1 kB are free. Make room"):
        fetch_public(entry(web, "/set.zip"), tmp_path / "tiny", ignore)
    assert web.requests == []


def test_the_catalogue_is_sound(shared):
    for name, dataset in CATALOGUE.items():
        assert dataset.name == name and dataset.about and dataset.licence and dataset.citation
        for file in dataset.files:
            assert file.url.startswith("https://"), name
    folder = shared("data/d6_dice")
    for file in CATALOGUE["d6-dice"].files:
        content = (folder / file.name).read_bytes()
        assert (len(content), sha256(content)) == (file.size, file.sha256), file.name


# --- the command line ---


def test_a_public_dataset_is_fetched_from_the_command_line(web, tmp_path, syndet_here, monkeypatch):
    web.files["/chess.zip"] = zipped(FILES)
    monkeypatch.setitem(CATALOGUE, "chess", entry(web, "/chess.zip", sums=False))
    monkeypatch.chdir(tmp_path)
    done = syndet_here("data", "fetch", "chess")
    assert done.returncode == 0, done.stderr
    assert "licence  b" in done.stdout and "size     1 kB in 1 file" in done.stdout
    assert f"sum      chess.zip: SHA-256 {sha256(web.files['/chess.zip'])}" in done.stdout
    assert "chess.lock.json" in done.stdout
    assert done.stdout.endswith("data     chess; see python -m syndet_ray data inspect chess\n")
    assert "was there already: chess" in syndet_here("data", "fetch", "chess").stdout


def test_the_verbs_take_addresses(stored, tmp_path, syndet_here, monkeypatch):
    monkeypatch.chdir(tmp_path)
    syndet_here("data", "label-style", ADDRESS)
    assert len(list(tmp_path.glob("runs/cache/data/*/dice/train/0.png"))) == 1
    done = syndet_here("data", "label-style", "s3://photos/none")
    assert done.stderr.startswith("syndet_ray: s3://photos/none: holds no objects")
    done = syndet_here("check", "smoke", "--local", "--real", "https://x.org/a.zip")
    assert done.stderr.startswith("syndet_ray: https://x.org/a.zip: must come with its checksum")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["cache"]


def test_what_a_kill_left_of_a_deleted_copy_is_deleted(tmp_path, monkeypatch):
    folder = tmp_path / ("0" * 20)
    (folder / "photos").mkdir(parents=True)

    def kill(grave):
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", kill)
        assert not delete_unused(folder)
    names = [path.name for path in tmp_path.iterdir() if path.is_dir()]
    assert any(map(is_being_deleted, names)) and not folder.exists()
    assert list(node_cache._datasets(tmp_path)) == []
    assert not any(path.is_dir() for path in tmp_path.iterdir())
