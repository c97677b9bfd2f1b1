"""Workers: settings of Ray that must be there before it is imported."""

import subprocess
import sys

import pytest

SEEN_BY_RAY = """
import syndet_ray.workers
from ray._private import ray_constants
print(ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV)
"""


@pytest.mark.parametrize(("setting", "expected"), [(None, "False"), ("1", "True")])
def test_ray_copies_no_working_folder_under_uv_run_unless_a_user_asks_for_it(
    monkeypatch, setting, expected
):
    name = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"
    monkeypatch.delenv(name, raising=False)
    if setting is not None:
        monkeypatch.setenv(name, setting)
    command = [sys.executable, "-c", SEEN_BY_RAY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
