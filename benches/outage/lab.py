"""The network of the bench: a namespace for the clients, for each proxy and for each provider.

Everything lives in one private outer namespace (network, mounts, processes), so that nothing of this
machine is touched, no traffic leaves it, and the kernel removes all of it when the outer process ends,
however it ends. `run` starts itself anew in there (`enter`) and then builds a `Lab`.

    clients ---+                     +--- aws
    leeward ---+--- bridge (switch) -+--- gcp
    haproxy ---+    names, nft       +--- selfhosted

The bridge's own namespace is the outer one: the DNS server and the bench itself live there. A
blackhole is a rule of the switch, so that no end of a connection is told anything, and ARP still
passes: the path is dead, the machine is not gone from its segment.
"""

import os
import pathlib
import subprocess
import sys

import install

INSIDE = "LEEWARD_OUTAGE_INSIDE"
PROVIDERS = ("aws", "gcp", "selfhosted")
BACKEND_PORT = 8080
PROXY_PORT = 8000
SWITCH = "10.77.0.1"
NAMESPACES = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
# As somebody else than root, a user namespace gives the rights over the others.
USER = ["--user", "--map-root-user"]


def enter(script):
    """Starts `script` anew within the private namespaces and returns its exit code; never a skip."""
    for how in ([], USER) if os.geteuid() == 0 else (USER,):
        command = ["unshare", *how, *NAMESPACES]
        if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            break
    else:
        raise SystemExit("the lab needs network namespaces: be root, or allow `unshare -rn`")
    inner = [*command, sys.executable, script, *sys.argv[1:]]
    process = subprocess.Popen(inner, env={**os.environ, INSIDE: "1"})
    try:
        return process.wait()
    except BaseException:
        # `--kill-child` takes everything inside with it.
        process.kill()
        process.wait()
        raise


class Lab:
    """Namespaces, addresses and the switch between them. Addresses: 10.77.NUMBER.N."""

    def __init__(self, proxies, folder):
        self.names = ["clients", *PROVIDERS, *proxies]
        self.nft = install.find("nft")
        mount("-t", "tmpfs", "none", "/run")
        # The libraries of every proxy read this file; only the outer namespace sees it.
        resolv = folder / "resolv.conf"
        resolv.write_text(f"nameserver {SWITCH}\noptions timeout:1 attempts:2\n")
        mount("--bind", resolv, os.path.realpath("/etc/resolv.conf"))
        pathlib.Path("/run/netns").mkdir()
        ip("link", "set", "lo", "up")
        ip("link", "add", "switch", "type", "bridge", "forward_delay", "0")
        ip("address", "add", f"{SWITCH}/16", "dev", "switch")
        ip("link", "set", "switch", "up")
        for name in self.names:
            self.join(name)

    def join(self, name):
        """A namespace with one cable to the switch."""
        ip("netns", "add", name)
        ip("link", "add", port(name), "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", port(name), "master", "switch", "up")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "set", "eth0", "up")
        # A provider has one address a backend, and as many again to move to.
        for last in range(1, 33 if name in PROVIDERS else 2):
            ip("-n", name, "address", "add", f"{self.address(name, last)}/16", "dev", "eth0")

    def address(self, name, last=1):
        return f"10.77.{self.names.index(name) + 1}.{last}"

    def start(self, name, command, **more):
        """Starts a program in a namespace; its process id is the program's own."""
        return subprocess.Popen(["nsenter", f"--net=/run/netns/{name}", *map(str, command)], **more)

    def blackhole(self, name):
        """Drops every packet from and to a namespace."""
        self.drop(f'{side} "{port(name)}" ether type ip' for side in ("iifname", "oifname"))

    def lose(self, percent):
        """Drops so many of all packets, at random."""
        self.drop([f"ether type ip numgen random mod 100 < {percent}"])

    def drop(self, what):
        rules = ["add table bridge lab", "add chain bridge lab f { type filter hook forward priority 0; }"]
        self.rule("; ".join(rules + [f"add rule bridge lab f {each} drop" for each in what]))

    def mend(self):
        """Ends every rule."""
        self.rule("delete table bridge lab")

    def rule(self, text):
        subprocess.run([self.nft, text], check=True, env=install.environment())


def port(name):
    """The switch's end of a namespace's cable; names of links have 15 characters at most."""
    return f"to-{name}"[:15]


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def mount(*words):
    subprocess.run(["mount", *words], check=True)
