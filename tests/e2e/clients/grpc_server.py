"""A gRPC server with a health service. Prints its address, then does what lines on stdin say:

    SERVING SERVICE, NOT_SERVING SERVICE   what the health service says from now on
    orders                                 prints how many orders it has executed

Ends with its parent. Arguments: its name, and for TLS a certificate and a key."""

import os
import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

NAME = sys.argv[1]
ORDERS = []


def fail(request: bytes, context) -> bytes:
    """Fails with the code that the request names, before anything was answered."""
    code = next(code for code in grpc.StatusCode if code.name == request.decode())
    context.set_trailing_metadata((("x-venue-code", "-1013"),))
    context.abort(code, "as asked")


def fail_late(request: bytes, context):
    """The same after a first message."""
    yield b"a first message"
    fail(request, context)


def one_of_two(request: bytes, context) -> bytes:
    return fail(b"UNAVAILABLE", context) if NAME == "aws" else NAME.encode()


def order(request: bytes, context) -> bytes:
    ORDERS.append(request)
    if request == b"slow":
        time.sleep(5)
    return request


def who(request: bytes, context) -> bytes:
    context.send_initial_metadata((("x-from", NAME),))
    context.set_trailing_metadata((("x-sequence", "7"), ("x-binary-bin", bytes(range(256)))))
    return NAME.encode()


def feed(request: bytes, context):
    for number in range(int(request)):
        yield str(number).encode()


def chat(requests, context):
    for request in requests:
        yield request


def hang(request: bytes, context):
    yield b"and now nothing"
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait()


def fills(request: bytes, context):
    ORDERS.append(request)
    yield b"a first fill"
    yield from hang(request, context)


SERVICES = {
    "test.Order": {
        "Place": grpc.unary_unary_rpc_method_handler(order),
        "Fills": grpc.unary_stream_rpc_method_handler(fills),
    },
    "test.Read": {
        "Who": grpc.unary_unary_rpc_method_handler(who),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "OneOfTwo": grpc.unary_unary_rpc_method_handler(one_of_two),
        "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    },
    "test.Stream": {
        "Feed": grpc.unary_stream_rpc_method_handler(feed),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Hang": grpc.unary_stream_rpc_method_handler(hang),
    },
}


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name, methods in SERVICES.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    servicer.set("test.Exchange", health_pb2.HealthCheckResponse.SERVING)
    if len(sys.argv) > 3:
        files = [open(path, "rb").read() for path in (sys.argv[3], sys.argv[2])]
        credentials = grpc.ssl_server_credentials([tuple(files)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    for line in sys.stdin:
        word, *service = line.split()
        if word == "orders":
            print(len(ORDERS), flush=True)
        else:
            status = health_pb2.HealthCheckResponse.ServingStatus.Value(word)
            servicer.set(service[0], status)
            print("set", flush=True)
    # Not held up by calls that hang.
    os._exit(0)


if __name__ == "__main__":
    main()
