"""What grpcio sees of the origin's services. Arguments: the address, the file of descriptors, and for health.v1 at a drain
the process to stop."""
import os
import signal
import sys
import threading

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

address, descriptors, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
MIB = 1 << 20
pool = descriptor_pool.DescriptorPool()
with open(descriptors, 'rb') as file:
    for one in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
        pool.Add(one)


def kind(name):
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


EchoRequest, EchoResponse = kind('echo.EchoRequest'), kind('echo.EchoResponse')
Check, Checked = kind('grpc.health.v1.HealthCheckRequest'), kind('grpc.health.v1.HealthCheckResponse')
Asked, Answered = (kind(f'grpc.testing.StreamingOutputCall{end}') for end in ('Request', 'Response'))


def connect(*options):
    sizes = [('grpc.max_receive_message_length', 20 * MIB), ('grpc.max_send_message_length', 20 * MIB)]
    return grpc.insecure_channel(address, options=[*sizes, ('grpc.use_local_subchannel_pool', 1), *options])


channel = connect()


def methods(channel):
    ways = {'request_serializer': EchoRequest.SerializeToString, 'response_deserializer': EchoResponse.FromString}
    return (channel.unary_unary('/echo.EchoService/Echo', **ways),
            channel.stream_stream('/echo.EchoService/StreamEcho', **ways))


echo, stream_echo = methods(channel)
watch = channel.unary_stream('/grpc.health.v1.Health/Watch', request_serializer=Check.SerializeToString,
                             response_deserializer=Checked.FromString)
output = channel.unary_stream('/grpc.testing.TestService/StreamingOutputCall', request_serializer=Asked.SerializeToString,
                              response_deserializer=Answered.FromString)


def fails(code, call):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        return error
    raise AssertionError(f'no {code}')


def an_echo_has_what_was_seen():
    metadata = (('x-a', 'first'), ('x-a', 'second'), ('text-bin', b'text'), ('k-bin', b'\x00\xff'))
    answer = echo(EchoRequest(message='hé', timestamp=7), metadata=metadata)
    assert (answer.message, answer.request_timestamp, answer.method) == ('hé', 7, '/echo.EchoService/Echo')
    assert answer.response_timestamp > 1.5e18 and answer.server_hostname and answer.response_code == 0
    seen = answer.metadata
    assert (seen['x-a'], seen['text-bin'], seen['k-bin'], seen[':authority']) == ('first', 'text', 'AP8=', address)
    assert 'grpc-timeout' not in seen and 'te' not in seen


def every_code_can_be_asked_for():
    for code in grpc.StatusCode:
        if code != grpc.StatusCode.OK:
            error = fails(code, lambda: echo(EchoRequest(response_code=code.value[0])))
            name = code.name.replace('_', '').replace('CANCELLED', 'CANCELED')
            assert error.details().lower() == f'requested error: {name}'.lower()


def a_thousand_messages_come_back_in_order():
    texts = [str(number) * (number % 40) for number in range(1000)]
    assert [one.message for one in stream_echo(EchoRequest(message=text) for text in texts)] == texts


def a_stream_ends_at_the_status_it_asks_for():
    asked = [EchoRequest(message='a'), EchoRequest(response_code=9), EchoRequest(message='b')]
    stream, got = stream_echo(iter(asked)), []
    fails(grpc.StatusCode.FAILED_PRECONDITION, lambda: got.extend(one.message for one in stream))


def large_messages_up_to_ten_mebibytes():
    large = 'x' * (10 * MIB - 100)
    # The answer has the metadata besides.
    assert echo(EchoRequest(message=large[:-1000])).message == large[:-1000]
    fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: echo(EchoRequest(message=large + 'x' * 200)))
    assert sum(len(one.message) for one in stream_echo(EchoRequest(message='y' * 256 * 1024) for _ in range(64))) == 16 * MIB


def messages_in_gzip():
    packed = methods(connect(('grpc.default_compression_algorithm', grpc.Compression.Gzip)))
    assert packed[0](EchoRequest(message='z' * 100_000)).message == 'z' * 100_000
    assert [one.message for one in packed[1](iter([EchoRequest(message=text) for text in ('', 'a' * 5000)]))] == ['', 'a' * 5000]
    # 11 MiB that take 11 KB on their way.
    fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: packed[0](EchoRequest(message='0' * 11 * MIB)))


def a_deadline_ends_a_call_that_waits():
    asked = Asked()
    for _ in range(2):
        asked.response_parameters.add(size=10, interval_us=3600 * 1000 * 1000 // 2)
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(output(asked, timeout=0.3)))


def a_client_that_cancels_every_fifth_is_not_cut():
    ended, release = [], threading.Semaphore(64)

    def on_end(call):
        ended.append(call.code())
        release.release()

    for number in range(2000):
        release.acquire()
        call = echo.future(EchoRequest(message='m'))
        if number % 5 == 0:
            call.cancel()
        call.add_done_callback(on_end)
    for _ in range(64):
        release.acquire()
    assert set(ended) <= {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}, set(ended)
    assert ended.count(grpc.StatusCode.OK) >= 1600


def small_messages_with_pings_are_not_cut():
    pinging = connect(('grpc.keepalive_time_ms', 1000), ('grpc.http2.max_pings_without_data', 0),
                      ('grpc.keepalive_permit_without_calls', 1))
    streams = [methods(pinging)[1](iter([EchoRequest(message='s')] * 100)) for _ in range(50)]
    assert [len(list(stream)) for stream in streams] == [100] * 50


def a_watch_learns_of_the_drain():
    health = channel.unary_unary('/grpc.health.v1.Health/Check', request_serializer=Check.SerializeToString,
                                 response_deserializer=Checked.FromString)
    assert health(Check()).status == health(Check(service='echo.EchoService')).status == 1
    fails(grpc.StatusCode.NOT_FOUND, lambda: health(Check(service='nothing')))
    states = watch(Check())
    assert next(states).status == 1
    idle = stream_echo(iter(threading.Event().wait, None))
    # What is in flight is completed.
    asked = Asked()
    asked.response_parameters.add(size=3)
    asked.response_parameters.add(size=5, interval_us=300_000)
    begun = output(asked)
    assert len(next(begun).payload.body) == 3
    os.kill(pid, signal.SIGTERM)
    assert next(states).status == 2
    fails(grpc.StatusCode.UNAVAILABLE, lambda: next(states))
    fails(grpc.StatusCode.UNAVAILABLE, lambda: next(idle))
    assert [len(one.payload.body) for one in begun] == [5]


for case in list(vars().values()):
    if callable(case) and getattr(case, '__module__', '') == '__main__' and case.__name__ not in ('kind', 'connect', 'methods', 'fails'):
        print(case.__name__, flush=True)
        case()
# The generator of the idle call never ends, and grpcio's thread with it.
os._exit(0)
