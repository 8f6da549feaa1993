"""Request and response bodies of both clients, in every framing."""
from both import each

ALPHABET = b'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'


def a_body_of_a_known_length(client):
    response = client.ask('GET', '/bin/100K')
    assert response.headers['content-length'] == str(100 << 10)
    assert response.content == (ALPHABET * 3000)[:100 << 10]


def a_chunked_body(client):
    response = client.ask('GET', '/bin/100K?chunked=1')
    assert response.headers['transfer-encoding'] == 'chunked' and 'content-length' not in response.headers
    assert response.content == (ALPHABET * 3000)[:100 << 10]


def a_long_stream_in_pieces(client):
    assert sum(map(len, client.pieces('/stream/5'))) == 5 << 20


def a_body_that_is_echoed(client):
    text = 'tine ♆ \x00 "\\' * 100
    echo = client.ask('PUT', '/any/path?a=b', data=text.encode(), headers={'Content-Type': 'text/x-tine'}).json()
    assert (echo['method'], echo['body'], echo['content_type']) == ('PUT', text, 'text/x-tine')
    assert echo['uri'] == client.base + '/any/path?a=b'


def a_body_from_a_generator(client):
    """Without a known length both clients send it chunked."""
    sent = client.ask('POST', '/upload', data=(bytes([n]) * (n * 1000) for n in range(1, 200))).json()
    assert sent['headers'].get('Transfer-Encoding') == 'chunked' and 'Content-Length' not in sent['headers']
    assert sent['bytes_received'] == sum(n * 1000 for n in range(1, 200))


def a_body_behind_an_expectation(client):
    """Neither waits for `100 Continue`, and both skip it."""
    response = client.ask('POST', '/upload', data=b'x' * 100000, headers={'Expect': '100-continue'})
    assert (response.status_code, response.json()['bytes_received']) == (200, 100000)


each(a_body_of_a_known_length, a_chunked_body, a_long_stream_in_pieces, a_body_that_is_echoed,
     a_body_from_a_generator, a_body_behind_an_expectation)
