"""The token that a process shows to clusters, made where Ray could not keep one."""

import os
from pathlib import Path

import pytest

from syndet_ray.workers import auth_token


@pytest.fixture
def no_token(monkeypatch):
    """An environment without a token of Ray, which it has again after the test."""
    for name in auth_token._VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_token_is_made_if_ray_cannot_keep_one(no_token, read_only, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    auth_token.ensure_token()
    assert "RAY_AUTH_TOKEN" not in os.environ, "Ray keeps its own in the home folder"
    monkeypatch.setenv("HOME", str(read_only))
    auth_token.ensure_token()
    made = os.environ["RAY_AUTH_TOKEN"]
    assert len(made) == 64
    auth_token.ensure_token()
    assert os.environ["RAY_AUTH_TOKEN"] == made


def test_a_token_is_made_for_a_user_without_a_home(no_token, monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    auth_token.ensure_token()
    assert os.environ["RAY_AUTH_TOKEN"]
