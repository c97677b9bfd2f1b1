"""Folders go to S3 and come back; a bucket that cannot be used is refused before anything starts,
with what to do.
"""

import json
import socket

import pytest
from conftest import keys

from syndet_ray.data import storage
from syndet_ray.data.storage import check_bucket, download, filesystem, holds, inside, upload
from syndet_ray.errors import MachineError


def folder(path):
    (path / "deep" / "er").mkdir(parents=True)
    (path / "deep" / "er" / "a.txt").write_text("a")
    (path / "skipped").mkdir()
    (path / "skipped" / "b.txt").write_text("b")
    (path / "empty.txt").write_text("")
    return path


@pytest.mark.parametrize("address", ["s3://photos", "s3://photos/runs/1", "s3://photos/runs/"])
def test_a_writable_bucket_passes_and_keeps_no_trace(s3, address):
    check_bucket(address)
    assert keys(s3) == []


def test_checks_of_one_address_at_once_do_not_disturb_one_another(s3, monkeypatch):
    connect = storage.s3

    def connect_slowly(address):
        monkeypatch.setattr(storage, "s3", connect)
        client, probe = connect(address)
        read = client.get_object

        def read_later(**given):
            check_bucket("s3://photos/runs")  # that of another machine
            return read(**given)

        client.get_object = read_later
        return client, probe

    monkeypatch.setattr(storage, "s3", connect_slowly)
    check_bucket("s3://photos/runs")
    assert keys(s3) == []


def test_a_check_that_cannot_read_keeps_no_trace(s3):
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject"}
    deny |= {"Resource": "arn:aws:s3:::photos/*"}
    policy = {"Version": "2012-10-17", "Statement": [deny]}
    s3.put_bucket_policy(Bucket="photos", Policy=json.dumps(policy))
    with pytest.raises(MachineError, match=r"^s3://photos: cannot be written \("):
        check_bucket("s3://photos")
    assert keys(s3) == []


def test_the_endpoint_may_stand_in_the_address(s3, server, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    address = f"s3://photos/runs?endpoint_override={server}&scheme=http&region=us-east-1"
    client, place = storage.s3(address)
    assert client.meta.endpoint_url == f"http://{server}"
    assert place == {"Bucket": "photos", "Key": "runs"}
    check_bucket(address)


def test_a_bucket_that_does_not_exist_is_named(s3):
    with pytest.raises(
        MachineError, match=r"s3://lost/runs: cannot be written \(NoSuchBucket\). Create the bucket"
    ):
        check_bucket("s3://lost/runs")


def test_a_bucket_that_refuses_is_named(s3):
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::photos/*",
    }
    s3.put_bucket_policy(
        Bucket="photos", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )
    with pytest.raises(
        MachineError,
        match=r"s3://photos: cannot be written .*Let this machine's role or key read, write",
    ):
        check_bucket("s3://photos")


def test_missing_credentials_are_named(s3, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(
        MachineError,
        match=r"\(NoCredentialsError\). Give this machine a role, or set AWS_ACCESS_KEY_ID",
    ):
        check_bucket("s3://photos")


def test_a_server_that_does_not_answer_is_named_soon(s3, monkeypatch):
    monkeypatch.setattr(storage, "_PATIENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(
            MachineError,
            match=r"\(ReadTimeoutError\). Check the network, the address and AWS_ENDPOINT_URL",
        ):
            check_bucket("s3://photos")
    with pytest.raises(MachineError, match=r"\(EndpointConnectionError\). Check the network"):
        check_bucket("s3://photos")


def test_an_endpoint_that_is_no_url_is_named(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9000")
    with pytest.raises(MachineError, match=r"\(InvalidEndpointURL\). Correct AWS_ENDPOINT_URL"):
        check_bucket("s3://photos")
    with pytest.raises(
        MachineError,
        match=r"AWS_ENDPOINT_URL: must read like http://host:port, got '127.0.0.1:9000'",
    ):
        filesystem("s3://photos")


@pytest.mark.parametrize("address", ["photos", "/photos", "gs://photos", "s3://"])
def test_what_is_no_s3_address_is_named(address):
    with pytest.raises(MachineError, match=f"^{address}: must be s3://bucket"):
        check_bucket(address)


def test_a_folder_goes_to_s3_and_comes_back(s3, tmp_path):
    upload(folder(tmp_path / "run"), "s3://photos/runs/1", skip=tmp_path / "run" / "skipped")
    assert keys(s3) == ["runs/1/deep/er/a.txt", "runs/1/empty.txt"]
    download("s3://photos/runs/1", tmp_path / "back")
    assert (tmp_path / "back" / "deep" / "er" / "a.txt").read_text() == "a"
    assert (tmp_path / "back" / "empty.txt").read_text() == ""
    store, path = filesystem("s3://photos/runs/1/deep/er/a.txt")
    assert store.open_input_file(path).read() == b"a"


def test_a_folder_goes_to_another_folder_and_comes_back(tmp_path):
    upload(folder(tmp_path / "run"), str(tmp_path / "store" / "1"))
    download(str(tmp_path / "store" / "1"), tmp_path / "back")
    assert (tmp_path / "back" / "deep" / "er" / "a.txt").read_text() == "a"
    store, path = filesystem(str(tmp_path / "back"))
    assert (store.type_name, path) == ("local", str(tmp_path / "back"))


def test_an_address_goes_on_before_its_question(s3, tmp_path):
    assert inside("s3://photos/runs/?scheme=http", "1/run") == "s3://photos/runs/1/run?scheme=http"
    assert inside("s3://photos", "1") == "s3://photos/1"
    assert inside("s3://photos/runs/", "") == "s3://photos/runs"
    assert inside("runs", "1/run") == "runs/1/run"


def test_a_store_holds_files_not_folders(s3, tmp_path):
    upload(folder(tmp_path / "run"), "s3://photos/runs/1")
    for address in ("s3://photos/runs", str(tmp_path)):
        name = "1" if "://" in address else "run"
        assert holds(address, f"{name}/deep/er/a.txt")
        assert not holds(address, name)
        assert not holds(address, f"{name}/b.txt")
    assert not holds("s3://lost/runs", "1"), "nor does a bucket that is not there"


def test_what_cannot_be_copied_is_named(s3, tmp_path):
    with pytest.raises(
        MachineError, match=r"s3://photos/lost: holds no files. Correct the address"
    ):
        download("s3://photos/lost", tmp_path / "back")
    with pytest.raises(MachineError, match=r"s3://lost/1: cannot be written \(.*does not exist"):
        upload(folder(tmp_path / "run"), "s3://lost/1")
