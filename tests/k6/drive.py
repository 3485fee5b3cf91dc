"""Starts a service on an empty directory, lays the load of draw_stream.js on it, and compares what
the users counted with what the service and its log say."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

CONFIG = """
pool:
  catalog:
    - { item_id: diamond, quantity: 1000000000, weight: 10 }
    - { item_id: gold, quantity: 1000000000, weight: 20 }
    - { item_id: mud, quantity: -1, weight: 70 }
"""
PATIENCE = 20


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_served(service, port):
    end = time.monotonic() + PATIENCE
    while service.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end, "the service does not listen"
        time.sleep(0.05)
    raise AssertionError(f"the service ended with {service.returncode}")


def lay_load(k6, address, directory):
    """Runs k6, which fails when a threshold is broken, and returns the draws that were answered."""
    summary = pathlib.Path(directory, "summary.json")
    script = pathlib.Path(__file__).with_name("draw_stream.js")
    # k6 would report its use, offer its own interface on a fixed port, and look for extensions.
    quiet = ["--no-usage-report", "--no-color", "--quiet", "--address", "127.0.0.1:0"]
    environment = dict(
        os.environ,
        ADDRESS=address,
        SUMMARY=str(summary),
        K6_AUTO_EXTENSION_RESOLUTION="false",
    )
    subprocess.run([k6, "run", *quiet, str(script)], env=environment, check=True)
    return json.loads(summary.read_text())["draws"]


def check_state(binary, address, answered):
    command = [binary, "state", "--addr", f"http://{address}", "-o", "json"]
    state = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    assert state["draws"] == answered, f"{answered} draws were answered: {state}"
    awarded = 0
    for item in state["items"]:
        awarded += item["awarded"]
        assert item["quantity"] == -1 or item["granted"] == item["quantity"] + item["awarded"], item
    assert awarded == answered, state


def main(k6, binary):
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory, "config.yaml")
        config.write_text(CONFIG)
        data = str(pathlib.Path(directory, "data"))
        port = free_port()
        address = f"127.0.0.1:{port}"
        command = [binary, "serve", "--config", str(config), "--working-dir", data]
        service = subprocess.Popen([*command, "--listen", address])
        try:
            wait_until_served(service, port)
            answered = lay_load(k6, address, directory)
            check_state(binary, address, answered)
        finally:
            service.terminate()
            code = service.wait(timeout=PATIENCE)
        assert code == 0, f"the service ended with {code}"
        subprocess.run([binary, "verify", "--dir", data], stdout=subprocess.DEVNULL, check=True)
    print(f"k6: {answered} draws over two services, as the state and the log say")


if __name__ == "__main__":
    main(*sys.argv[1:])
