"""HTTP through leeward with http.client and httpx: bodies, odd paths, signatures."""

import hashlib
import hmac
import http.client
import sys

import httpx

SECRET = b"a secret that only client and backend know"
ODD = [
    "/",
    "//a/../b%2F?x=%7e&&y",
    "/a|b?c|d",
    "/a^b?c^d",
    "/a[0]?b[1]=c",
    "/a?b=%zz",
    "/~user/%7euser",
]


def sign(method: str, target: str, body: bytes) -> str:
    parts = [method.encode(), target.encode(), body]
    message = b"".join(part + b"\n" for part in parts)
    return hmac.new(SECRET, message, hashlib.sha256).hexdigest()


def with_http_client(address: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=10)
    for method in ["GET", "POST", "PUT", "DELETE"]:
        for target in ODD:
            for body in [b"", b"x" * 100_000]:
                fields = {"X-Signature": sign(method, target, body)}
                connection.request(method, target, body=body, headers=fields)
                answer = connection.getresponse()
                content = answer.read()
                assert answer.status == 200, (method, target, len(body), content)
    connection.request("POST", "/echo", body=iter([b"one ", b"two"]), encode_chunked=True)
    assert connection.getresponse().read() == b"one two"
    connection.close()


def with_httpx(address: str) -> None:
    base = f"http://{address}"
    with httpx.Client(base_url=base, timeout=10) as client:
        for _ in range(20):
            assert client.get("/read/bytes/1000").status_code == 200
        assert client.head("/read/bytes/77").headers["content-length"] == "77"
        assert client.get("/read/status/404").status_code == 404
        assert client.get("/read/status/204").content == b""
        content = bytes(range(256)) * 4096
        assert client.put("/echo", content=content).content == content
        with client.stream("GET", "/read/stream/40") as answer:
            assert sum(len(part) for part in answer.iter_bytes()) == 40 * 65536


if __name__ == "__main__":
    with_http_client(sys.argv[1])
    with_httpx(sys.argv[1])
    print("all well")
