"""A store that is away for a while is waited for; one that refuses is not."""

import errno
import pickle
from functools import partial

import pytest
from fault_proxy import Proxy
from pyarrow.fs import LocalFileSystem

from syndet_ray.data.outage import is_outage, outlast
from syndet_ray.data.storage import copy_whole, filesystem, store_error
from syndet_ray.errors import MachineError, StoreUnavailable

SLOW = "When uploading part for key 'x': AWS Error SLOW_DOWN during UploadPart operation: slow"


def failing(*errors):
    """A call that raises these errors, one after the other, and then returns "done"."""
    left = list(errors)

    def call():
        if left:
            raise left.pop(0)
        return "done"

    return call


def test_a_call_is_repeated_until_the_store_answers_and_the_first_error_is_noted():
    notes = []
    call = failing(OSError(SLOW), StoreUnavailable("s3://a", "cannot be read"))
    assert outlast(call, note=notes.append, first_pause_s=0.001) == "done"
    assert notes == [SLOW]


@pytest.mark.cluster
@pytest.mark.parametrize("fault", ["refused", "cuts", "errors"])
def test_an_upload_from_a_worker_outlasts_a_store_that_is_away(s3, server, fault):
    """Ray pickles the file system for it, which then gives up in seconds."""
    notes = []
    with Proxy(server) as proxy:
        endpoint = f"endpoint_override={proxy.address}&scheme=http"
        store, path = filesystem(f"s3://photos/model?{endpoint}")
        of_a_worker = pickle.loads(pickle.dumps(store))

        def upload():
            with of_a_worker.open_output_stream(path) as file:
                file.write(bytes(100_000))

        def note(words):
            notes.append(words)
            proxy.fault = ""

        proxy.fault = fault
        outlast(upload, note=note, first_pause_s=0.01)
    assert len(notes) == 1
    assert s3.head_object(Bucket="photos", Key="model")["ContentLength"] == 100_000


@pytest.mark.cluster
def test_a_file_that_a_cut_connection_loses_is_missed(s3, server, tmp_path):
    """Arrow's own copy ends without an error, and a checkpoint lacks its model."""
    (tmp_path / "model.safetensors").write_bytes(bytes(100_000))
    (tmp_path / "model.json").write_text("{}")
    with Proxy(server) as proxy:
        endpoint = f"endpoint_override={proxy.address}&scheme=http"
        store, path = filesystem(f"s3://photos/checkpoint?{endpoint}")
        of_a_worker = pickle.loads(pickle.dumps(store))

        def note(words):
            proxy.fault = ""

        proxy.fault = "cuts"
        copy = partial(copy_whole, str(tmp_path), path, LocalFileSystem(), of_a_worker)
        outlast(copy, note=note, first_pause_s=0.01)
    listed = s3.list_objects_v2(Bucket="photos", Prefix="checkpoint/")["Contents"]
    assert {found["Key"]: found["Size"] for found in listed} == {
        "checkpoint/model.json": 2,
        "checkpoint/model.safetensors": 100_000,
    }


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "503", "EndpointConnectionError"])
def test_a_store_that_may_answer_later_is_told_from_one_that_refuses(code):
    assert is_outage(store_error("s3://a/b", code, "an answer of S3"))


def test_an_outage_that_lasts_too_long_ends_with_its_error():
    with pytest.raises(OSError, match="SLOW_DOWN"):
        outlast(failing(OSError(SLOW)), limit_s=0.0)


@pytest.mark.parametrize(
    "error",
    [
        OSError("AWS Error ACCESS_DENIED during HeadObject operation: No response body."),
        OSError("AWS Error NO_SUCH_BUCKET during CreateMultipartUpload operation: gone"),
        OSError(errno.ENOSPC, "No space left on device"),
        MachineError("runs/x", "cannot be read ([Errno 2] No such file or directory)"),
        MachineError("s3://a/b", "holds no files"),
        store_error("s3://a/b", "AccessDenied", "refused"),
        store_error("s3://a/b", "NoSuchBucket", "gone"),
        store_error("s3://a/b", "InvalidEndpointURL", "no address"),
    ],
)
def test_what_waiting_does_not_change_is_raised_at_once(error):
    assert not is_outage(error)
    with pytest.raises(type(error)):
        outlast(failing(error), note=lambda words: pytest.fail(words))
