"""Connections: both clients keep them, and close them when told to."""
from both import each


def ports(client, count, **options):
    """The client's ports of this many requests, as the server saw them."""
    return {client.ask('GET', '/', **options).json()['source_addr'] for _ in range(count)}


def one_connection_for_many_requests(client):
    assert len(ports(client, 20)) == 1


def a_connection_each_when_it_says_close(client):
    assert len(ports(client, 5, headers={'Connection': 'close'})) == 5


def the_same_connection_after_large_bodies(client):
    before = ports(client, 1)
    for path in '/bin/5M', '/bin/5M?chunked=1', '/stream/2':
        assert client.ask('GET', path).status_code == 200
    assert client.ask('POST', '/upload', data=bytes(5 << 20)).json()['bytes_received'] == 5 << 20
    assert ports(client, 1) == before


def the_same_connection_after_errors_and_heads(client):
    before = ports(client, 1)
    assert client.ask('GET', '/bin/none').status_code == 400
    head = client.ask('HEAD', '/bin/1G')
    assert (head.status_code, head.headers['content-length'], head.content) == (200, str(1 << 30), b'')
    assert ports(client, 1) == before


each(one_connection_for_many_requests, a_connection_each_when_it_says_close,
     the_same_connection_after_large_bodies, the_same_connection_after_errors_and_heads)
