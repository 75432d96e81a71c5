#!/usr/bin/env python3
"""The agent's program as it is released: at most 10 MB without symbols, nothing needed but libc, at most 15 MiB while it is idle.

    python3 tests/agent_program.py
"""
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

MOST_BYTES = 10_000_000
MOST_RESIDENT = 15 * 1024
POLLS = 5
LIBRARIES = {"linux-vdso", "libc", "libgcc_s", "libm", "ld-linux-x86-64", "ld-linux-aarch64"}


class Server(http.server.BaseHTTPRequestHandler):
    """Enrols every agent and never has an order."""

    protocol_version = "HTTP/1.1"
    polls = threading.Semaphore(0)

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/api/agent/enroll":
            self.answer(200, {"code": 200, "info": {"machine_id": "0", "token": "0" * 64}})
            return
        Server.polls.release()
        threading.Event().wait(1)
        self.answer(204)

    def answer(self, status, body=None):
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def resident(process):
    with open(f"/proc/{process}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1))


def idle_memory(program, folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = os.path.join(folder, "agent.toml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f'server = "http://127.0.0.1:{server.server_port}"\nstate_dir = "{folder}/state"\n')
    os.chmod(config, 0o600)
    subprocess.run([program, "--config", config, "enroll", "--code", "0"], check=True)
    agent = subprocess.Popen([program, "--config", config, "run"])
    try:
        for _ in range(POLLS):
            if not Server.polls.acquire(timeout=60):
                sys.exit("the agent does not poll")
        return resident(agent.pid)
    finally:
        agent.kill()
        agent.wait()


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    subprocess.run(["cargo", "build", "--release", "--locked", "--package", "pilothouse-agent"], cwd=root, check=True)
    target = os.path.join(root, os.environ.get("CARGO_TARGET_DIR", "target"))
    folder = os.path.realpath(tempfile.mkdtemp())
    try:
        program = os.path.join(folder, "pilothouse-agent")
        shutil.copy(os.path.join(target, "release", "pilothouse-agent"), program)
        subprocess.run(["strip", "--strip-all", program], check=True)
        size, memory = os.path.getsize(program), idle_memory(program, folder)
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        needed = {re.split(r"\.so", os.path.basename(line.split()[0]))[0] for line in linked.splitlines() if ".so" in line}
    finally:
        shutil.rmtree(folder)
    print(f"pilothouse-agent: {size} bytes, {memory} KiB idle, needs {', '.join(sorted(needed)) or 'nothing'}")
    if size > MOST_BYTES:
        sys.exit(f"the program is larger than {MOST_BYTES} bytes")
    if memory > MOST_RESIDENT:
        sys.exit(f"the idle program has more than {MOST_RESIDENT} KiB")
    if needed - LIBRARIES:
        sys.exit(f"the program needs more than libc: {', '.join(sorted(needed - LIBRARIES))}")


main()
