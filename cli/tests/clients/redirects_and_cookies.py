"""Both clients follow redirections and keep cookies by themselves."""
from both import each


def redirections_are_followed(client):
    for absolute in '', '?absolute=1':
        response = client.ask('GET', '/redirect/7' + absolute)
        assert (response.status_code, len(response.history)) == (200, 7)
        assert response.json()['uri'] == client.base + '/anything' + absolute
        assert all(step.status_code == 302 for step in response.history)


def methods_survive_as_they_should(client):
    """301 to 303 turn a POST into a GET without a body, 307 and 308 keep both (RFC 9110, 15.4)."""
    for code in 301, 302, 303, 307, 308:
        method, body = ('POST', 'x') if code > 303 else ('GET', '')
        echo = client.ask('POST', f'/redirect/2?code={code}', data=b'x').json()
        assert (echo['method'], echo['body']) == (method, body), code


def over_one_connection(client):
    echoes = [client.ask('GET', '/redirect/20').json() for _ in range(3)]
    assert len({echo['source_addr'] for echo in echoes}) == 1


def cookies_come_back(client):
    assert client.ask('GET', '/cookies/0').json()['cookies'] == {}
    assert client.ask('GET', '/cookies/5').json()['cookies'] == {}
    kept = {f'cookie-{n}': f'value-{n}' for n in range(1, 6)}
    assert client.ask('GET', '/cookies/0').json()['cookies'] == kept
    assert dict(client.session.cookies) == kept
    sent = client.ask('GET', '/any/path').json()['headers']['Cookie']
    assert sorted(sent.split('; ')) == sorted('='.join(pair) for pair in kept.items())


def many_headers(client):
    """Python's http.client, which requests is built on, accepts a hundred at most."""
    headers = client.ask('GET', '/headers/80?size=100').headers
    assert all(len(headers[f'X-Header-{n}']) == 100 for n in range(1, 81))


each(redirections_are_followed, methods_survive_as_they_should, over_one_connection, cookies_come_back, many_headers)
