"""Answers that arrive in parts, and answers without a body."""
import json

from both import each


def chunks_as_they_are_made(client):
    assert len(b''.join(client.pieces('/chunked/20?size=1000&delay=1'))) == 20000


def one_byte_at_a_time(client):
    assert b''.join(client.pieces('/trickle/20?every=10')) == client.ask('GET', '/bin/20').content


def an_endless_stream_that_is_left(client):
    """The client leaves in the middle; its next request uses a new connection."""
    stream, text = client.pieces('/sse?every=5'), b''
    while b'id: 5\n' not in text:
        text += next(stream)
    stream.close()
    assert text.startswith(b'retry: ')
    assert client.ask('GET', '/health').json() == {'status': 'ok'}


def events_with_their_ids(client):
    response = client.ask('GET', '/sse?count=4&every=10', headers={'Last-Event-ID': '1'})
    assert response.headers['content-type'] == 'text/event-stream'
    events = [dict(line.split(': ', 1) for line in event.splitlines()) for event in response.text.split('\n\n')]
    assert [(event['id'], json.loads(event['data'])['n']) for event in events if 'id' in event] == [
        ('2', 2), ('3', 3), ('4', 4)]
    assert client.ask('GET', '/sse?count=4', headers={'Last-Event-ID': '4'}).status_code == 204


def trailers_do_not_disturb(client):
    assert len(client.ask('GET', '/random/300K?seed=5').content) == 300 << 10
    assert client.ask('GET', '/random/64K?seed=5').content == client.ask('GET', '/random/64K?seed=5&length=1').content


def statuses(client):
    for status in 200, 201, 204, 299, 304, 400, 404, 418, 500, 503, 599:
        response = client.ask('GET', f'/status/{status}')
        assert response.status_code == status
        assert bool(response.content) == (status not in (204, 304))


each(chunks_as_they_are_made, one_byte_at_a_time, an_endless_stream_that_is_left, events_with_their_ids,
     trailers_do_not_disturb, statuses)
