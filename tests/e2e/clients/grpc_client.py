"""One gRPC call: ADDRESS KIND SERVICE/METHOD REQUEST... Prints each message of the answer as it comes, and at
the end a line of JSON that says how the call ended.

KIND is `unary`, `feed` (a stream of answers) or `chat` (the next request goes out when the answer to
the one before has come; `wait` waits for two seconds instead). With CA_FILE in the environment the
server is asked over TLS, by the name `api.example`.

It gives a call no time of its own: a server that is told how long it has ends calls by itself, and
which of the two a client hears first would be chance. Whoever starts it ends it."""

import json
import os
import sys
import time

import grpc


def requests(words: list[str], answered: list[int]):
    for sent, word in enumerate(words):
        while len(answered) < sent:
            time.sleep(0.01)
        if word == "wait":
            time.sleep(2)
        yield word.encode()


def fields(metadata) -> dict[str, str]:
    return {key: value if isinstance(value, str) else value.hex() for key, value in metadata or ()}


def main() -> None:
    address, kind, method, *words = sys.argv[1:]
    # A second try of the client itself would hide what the first was told.
    options = [("grpc.enable_retries", 0)]
    if ca := os.environ.get("CA_FILE"):
        credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
        options.append(("grpc.ssl_target_name_override", "api.example"))
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    path = f"/test.{method}"
    answered: list[int] = []
    if kind == "unary":
        call = channel.unary_unary(path).future(words[0].encode())
        answers = (call.result() for _ in range(1))
    elif kind == "feed":
        call = answers = channel.unary_stream(path)(words[0].encode())
    else:
        call = answers = channel.stream_stream(path)(requests(words, answered))
    try:
        for answer in answers:
            answered.append(1)
            print(answer.decode(), flush=True)
    except grpc.RpcError:
        pass
    end = {
        "code": call.code().name,
        "details": call.details(),
        "head": fields(call.initial_metadata()),
        "trailers": fields(call.trailing_metadata()),
    }
    print(json.dumps(end), flush=True)


if __name__ == "__main__":
    main()
