"""Fixtures of the tests of training logs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from pytest_mle.errors import Location
from pytest_mle.inputs.training_logs import read_training_log

sys.path.insert(0, str(Path(__file__).parent))

from tracker_writers import free_port


@pytest.fixture
def read(tmp_path):
    """Read a log that the options declare."""

    def make(**options):
        return read_training_log("final", options, tmp_path, location=Location("spec.yaml", 20))

    return make


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory):
    """Start a real MLflow server and return its URI."""
    pytest.importorskip("mlflow.tracking")
    pytest.importorskip("gunicorn")
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--gunicorn-opts", "--timeout 120"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, start_new_session=True)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            assert process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
