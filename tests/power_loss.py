#!/usr/bin/env python3
"""Power loss, replayed: records the writes and flushes of a server's SQLite files under load, and rebuilds the files as a
loss of power would have left them.

    tests/power_loss.py PROGRAM [--cuts N] [--seconds S] [--seed N]

The server runs under strace. After each flush (fsync, fdatasync) the files are rebuilt from what was flushed, once without
all other writes and once with a random part of them, in sectors of 512 bytes. Each is opened with SQLite, has to pass
`integrity_check` and `foreign_key_check`, and to hold every write that was acknowledged before the next flush returned.
At last the flushes of the write-ahead log are ignored: then writes must be missing or files damaged, or the check could
not fail.

A file counts as existing from its first flush on, as on ext4 and XFS. `--cuts 0` tries every flush; else so many are chosen.
"""

import argparse
import collections
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

PASSWORD = "correct horse battery"
SECTOR = 512
CALLS = "write,pwrite64,lseek,fsync,fdatasync,ftruncate,unlink,unlinkat,rename,renameat,renameat2,fallocate"
LINE = re.compile(r"^(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+)[^<]*<(\d+\.\d+)>$", re.DOTALL)
DESCRIPTOR = re.compile(r"^(\d+)<((?:[^>\\]|\\.)*)>")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def fail(message):
    print(f"power_loss.py: {message}", file=sys.stderr)
    sys.exit(1)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A server on a data folder, perhaps under strace."""

    def __init__(self, program, folder, trace=None):
        self.port = free_port()
        command = [program, "serve", "--superuser", "root:root@example.com", "--password-stdin"]
        if trace:
            tracer = ["strace", "-ff", "-ttt", "-T", "-y", "-xx", "-s", "2000000", "--seccomp-bpf", "-f"]
            command = [*tracer, "-o", trace, "-e", f"trace={CALLS}", "-e", "signal=none", *command]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PILOTHOUSE_")}
        environment.pop("RUST_LOG", None)
        environment |= {"PILOTHOUSE_DATA_DIR": folder, "PILOTHOUSE_LISTEN": f"127.0.0.1:{self.port}"}
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, text=True,
            start_new_session=True,
        )
        self.process.stdin.write(PASSWORD + "\n")
        self.process.stdin.close()
        deadline = time.monotonic() + 60
        while True:
            try:
                if self.call(None, "GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                fail("the server does not start"
                     + (" under strace; is ptrace permitted?" if trace else "") + "\n" + self.log.read())
            time.sleep(0.05)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def call(self, token, method, path, body=None, connection=None):
        connection = connection or self.connect()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")

    def log_in(self):
        body = {"name": "root", "password": PASSWORD}
        return self.call(None, "POST", "/admin/user_login", body)[1]["info"]["access_token"]

    def end(self, with_signal):
        # strace passes no signal on; its child is the server.
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout
        target = int(children.split()[0]) if children.strip() else self.process.pid
        os.kill(target, with_signal)
        self.process.wait(30)


class Ledger:
    """Acknowledged writes, each with the time at which its answer had arrived."""

    def __init__(self):
        self.tasks, self.values = [], []
        self.stopped = False

    def add_tasks(self, server, token):
        connection, number = server.connect(), 0
        while not self.stopped:
            data = {"ip": "::1", "action": "update", "content": "c" * 300, "description": f"d{number}"}
            status, answer = server.call(token, "POST", "/api/task", {"action": "add", "data": data}, connection)
            assert status == 200, answer
            self.tasks.append((time.time(), answer["info"]["task_id"]))
            number += 1

    def write_items(self, server, token):
        connection, number = server.connect(), 0
        while not self.stopped:
            # So large that the log, which may have 32 MiB, is copied into the database, and begins anew, again and again.
            value = f"{number} " + "v" * 900_000
            body = {"app": "power", "profile": "dev", "key": f"k{number}", "value": value}
            status, answer = server.call(token, "POST", "/config/create", body, connection)
            assert (status, answer["code"]) == (200, 0), answer
            self.values.append((time.time(), f"k{number}"))
            number += 1


def load(program, folder, trace, seconds):
    """Runs a server under load; the ledger."""
    server, ledger = Server(program, folder, trace), Ledger()
    token = server.log_in()
    app = {"app": "power", "appType": 0, "name": "n", "charger": "root"}
    assert server.call(token, "POST", "/app/create", app)[1]["code"] == 0
    threads = [threading.Thread(target=ledger.add_tasks, args=(server, token)) for _ in range(4)]
    threads += [threading.Thread(target=ledger.write_items, args=(server, token))]
    for thread in threads:
        thread.start()
    begun, database = time.monotonic(), os.path.join(folder, "pilothouse.db")
    written = os.stat(database).st_mtime_ns
    while os.stat(database).st_mtime_ns == written and time.monotonic() - begun < 30:
        time.sleep(0.05)
    # At least until the log was copied into the database once, and a while longer.
    time.sleep(max(0.5, seconds - (time.monotonic() - begun)))
    ledger.stopped = True
    for thread in threads:
        thread.join()
    server.end(signal.SIGKILL)
    return ledger


class Event:
    """A call on one of the files."""

    def __init__(self, name, path, begin, end, offset=0, data=b""):
        self.name, self.path, self.begin, self.end = name, path, begin, end
        self.offset, self.data = offset, data


def unescape(text):
    return bytes.fromhex(text.replace("\\x", ""))


def read_trace(folder, prefix):
    """The events on the database files, in the order they began."""
    calls = []
    for name in os.listdir(folder):
        if not name.startswith(prefix):
            continue
        with open(os.path.join(folder, name), encoding="ascii") as lines:
            for line in lines:
                match = LINE.match(line.rstrip("\n"))
                if match and int(match[4]) >= 0:
                    calls.append((float(match[1]), match[2], match[3], int(match[4]), float(match[5])))
    calls.sort(key=lambda call: call[0])
    events, positions = [], {}
    for begin, name, arguments, result, took in calls:
        descriptor = DESCRIPTOR.match(arguments)
        if descriptor:
            path = os.path.basename(unescape(descriptor[2]).decode())
        else:
            texts = TEXT.findall(arguments)
            path = os.path.basename(unescape(texts[0]).decode()) if texts else ""
        if path not in ("pilothouse.db", "pilothouse.db-wal"):
            continue
        end, rest = begin + took, arguments[descriptor.end():] if descriptor else ""
        if name == "lseek":
            positions[descriptor[1]] = result
        elif name in ("write", "pwrite64"):
            data = unescape(TEXT.search(rest)[1])
            assert len(data) >= result, "strace has shortened a write"
            if name == "write":
                offset = positions.get(descriptor[1], 0)
                positions[descriptor[1]] = offset + result
            else:
                offset = int(rest.rsplit(",", 1)[1])
            events.append(Event("write", path, begin, end, offset, data[:result]))
        elif name == "ftruncate":
            events.append(Event("truncate", path, begin, end, int(rest.rsplit(",", 1)[1])))
        elif name in ("fsync", "fdatasync"):
            events.append(Event("flush", path, begin, end))
        else:
            fail(f"{name} of {path} under load is not understood")
    return events


def apply(files, event):
    content = files.setdefault(event.path, bytearray())
    if event.name == "truncate":
        del content[event.offset:]
        content.extend(bytes(event.offset - len(content)))
        return
    if len(content) < event.offset:
        content.extend(bytes(event.offset - len(content)))
    content[event.offset:event.offset + len(event.data)] = event.data


def part_of(pending, rng):
    """Some sectors of the writes that were not flushed. Another order would only be another choice: the last write to a
    place is the one that counts."""
    pieces = []
    for event in pending:
        if event.name == "truncate":
            pieces.append(event)
            continue
        for start in range(0, len(event.data), SECTOR):
            data = event.data[start:start + SECTOR]
            pieces.append(Event("write", event.path, event.begin, event.end, event.offset + start, data))
    share = rng.random()
    return [piece for piece in pieces if rng.random() < share]


def check(folder, files, tasks, values):
    """What is wrong with the files: a list of texts."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    try:
        with sqlite3.connect(os.path.join(folder, "pilothouse.db")) as database:
            integrity = database.execute("PRAGMA integrity_check").fetchall()
            foreign = database.execute("PRAGMA foreign_key_check").fetchall()
            # A damaged file may hold NULL where the schema forbids it; hex() makes a text of that too.
            stored = {row[0] for row in database.execute("SELECT lower(hex(task_id)) FROM task")}
            halves = database.execute(
                "SELECT COUNT(*) FROM task LEFT JOIN task_status USING (task_id) WHERE task_status.id IS NULL"
            ).fetchone()[0]
            keys = {row[0] for row in database.execute("SELECT key FROM config_item")}
        database.close()
    except sqlite3.Error as error:
        return [f"SQLite: {error}"]
    wrong = [] if integrity == [("ok",)] else [f"integrity_check: {integrity[:3]}"]
    wrong += [f"foreign_key_check: {foreign[:3]}"] if foreign else []
    wrong += [f"{halves} tasks without a status"] if halves else []
    wrong += [f"task {task} is lost" for task in tasks if task not in stored]
    wrong += [f"item {key} is lost" for key in values if key not in keys]
    return wrong


class Replay:
    """The files, flush by flush."""

    def __init__(self, base, events, ledger, folder):
        self.base, self.events, self.ledger, self.folder = base, events, ledger, folder
        self.flushes = [event for event in events if event.name == "flush"]

    def run(self, cuts, rng, ignored=()):
        """Tries the chosen cuts; how many states were opened, and what was wrong."""
        chosen = set(range(len(self.flushes)))
        if cuts and cuts < len(self.flushes):
            chosen = set(rng.sample(sorted(chosen), cuts))
            # The moments around a copy of the log into the database are rare.
            copies = [n for n, flush in enumerate(self.flushes) if flush.path == "pilothouse.db"]
            chosen |= {n + step for n in copies[:3] for step in (-1, 0) if n + step >= 0}
        states, wrong = 0, []
        durable = {name: bytearray(content) for name, content in self.base.items()}
        pending, waiting = [], collections.deque(event for event in self.events if event.name != "flush")
        for cut, flush in enumerate(self.flushes):
            until = self.flushes[cut + 1].end if cut + 1 < len(self.flushes) else float("inf")
            while waiting and waiting[0].begin < until:
                pending.append(waiting.popleft())
            if flush.path not in ignored:
                flushed = [event for event in pending if event.path == flush.path and event.end <= flush.begin]
                for event in flushed:
                    apply(durable, event)
                known = {id(event) for event in flushed}
                pending = [event for event in pending if id(event) not in known]
            if cut not in chosen:
                continue
            for partial in (False, True):
                files = {name: bytearray(content) for name, content in durable.items()}
                for event in part_of(pending, rng) if partial else []:
                    # Without a flush the name of the file itself may be lost.
                    if event.path in files:
                        apply(files, event)
                tasks = [task for at, task in self.ledger.tasks if at < until]
                values = [key for at, key in self.ledger.values if at < until]
                found = check(self.folder, files, tasks, values)
                states += 1
                how = "with a part of the other writes" if partial else "without the other writes"
                wrong += [f"flush {cut}, {how}: {text}" for text in found]
        return states, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--cuts", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not shutil.which("strace"):
        fail("strace is not installed")
    traced = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    if traced.returncode:
        fail(f"ptrace is not permitted, so that nothing can be recorded: {traced.stderr.strip()}")
    rng = random.Random(options.seed)
    program = os.path.abspath(options.program)
    with tempfile.TemporaryDirectory() as folder:
        data, traces, rebuilt = (os.path.join(folder, name) for name in ("data", "traces", "rebuilt"))
        os.makedirs(traces)
        Server(program, data).end(signal.SIGTERM)
        base = {}
        for name in ("pilothouse.db", "pilothouse.db-wal"):
            if os.path.exists(os.path.join(data, name)):
                with open(os.path.join(data, name), "rb") as file:
                    base[name] = file.read()
        ledger = load(program, data, os.path.join(traces, "trace"), options.seconds)
        events = read_trace(traces, "trace")
        replay = Replay(base, events, ledger, rebuilt)
        states, wrong = replay.run(options.cuts, rng)
        acknowledged = len(ledger.tasks) + len(ledger.values)
        copied = sum(event.path == "pilothouse.db" for event in replay.flushes)
        print(
            f"power loss: seed {options.seed}, {acknowledged} acknowledged writes, {len(replay.flushes)} flushes "
            f"({copied} of the database itself), {states} states rebuilt, {len(wrong)} wrong"
        )
        for text in wrong[:20]:
            print(f"  {text}")
        _, missed = replay.run(4, random.Random(options.seed), ignored=("pilothouse.db-wal",))
        if not missed:
            fail("nothing is wrong without the flushes of the log: the check shows nothing")
        if not copied:
            fail("the log was not copied into the database; the load is too small to show that")
        if wrong or acknowledged < 20 or len(replay.flushes) < 10:
            sys.exit(1)


if __name__ == "__main__":
    main()
