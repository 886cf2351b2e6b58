"""Runs a program on a terminal of its own and obeys JSON lines on stdin; see pty.ts.

The slave side stays open here, so that the line discipline can be compared before and after, whatever the program did.
"""

import base64
import fcntl
import json
import os
import pty
import selectors
import signal
import struct
import sys
import termios

# Unbuffered: a buffered reader would keep lines that the selector below waits for.
commands = b""
while b"\n" not in commands:
    commands += os.read(0, 65536)
first, commands = commands.split(b"\n", 1)
request = json.loads(first)
master, slave = pty.openpty()


def resize(cols, rows):
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


resize(*request["size"])
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    os.closerange(3, 256)
    os.execvpe(request["argv"][0], request["argv"], request["env"])

say(type="started", pid=pid)
os.set_blocking(sys.stdin.fileno(), False)
selector = selectors.DefaultSelector()
selector.register(master, selectors.EVENT_READ)
selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
status = None


def obey(command):
    kind = command["type"]
    if kind == "send":
        os.write(master, base64.b64decode(command["bytes"]))
    elif kind == "signal":
        os.kill(pid, getattr(signal, command["name"]))
    elif kind == "resize":
        resize(*command["size"])
        os.kill(pid, signal.SIGWINCH)
    elif kind == "termios":
        say(type="termios", same=termios.tcgetattr(slave) == before, raw=not termios.tcgetattr(slave)[3] & termios.ICANON)


while True:
    for key, _ in selector.select(timeout=0.02):
        if key.fd == master:
            data = os.read(master, 65536)
            say(type="output", bytes=base64.b64encode(data).decode())
        else:
            data = os.read(key.fd, 65536)
            if not data:
                os.kill(pid, signal.SIGKILL)
                sys.exit(1)
            commands += data
    *lines, commands = commands.split(b"\n")
    for line in lines:
        obey(json.loads(line))
    if status is not None:
        break
    done, result = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
    if done == pid and os.WIFSTOPPED(result):
        say(type="stopped", same=termios.tcgetattr(slave) == before)
    elif done == pid:
        # One more round: what it wrote last is still in the terminal.
        status = result

say(type="ended", same=termios.tcgetattr(slave) == before, code=os.waitstatus_to_exitcode(status))
