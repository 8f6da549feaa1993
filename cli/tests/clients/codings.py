"""Content codings, which both clients request and decode by themselves."""
from both import each

CODINGS = {'/gzip': 'gzip', '/brotli': 'br', '/zstd': 'zstd'}
TEXT = 'tine ♆ ' * 100000


def accepts(client, coding):
    """requests supports zstd only in some versions of itself and of Python."""
    return coding in client.ask('GET', '/').json()['headers']['Accept-Encoding'].split(', ')


def each_coding_is_decoded(client):
    for path, coding in CODINGS.items():
        for body in '', 'tine ♆', TEXT:
            response = client.ask('POST', path, data=body.encode())
            assert response.headers.get('content-encoding') == (coding if accepts(client, coding) else None)
            assert 'Accept-Encoding' in response.headers['vary'] and response.json()['body'] == body
    assert accepts(client, 'gzip') and (accepts(client, 'zstd') or client.name == 'requests')


def they_are_much_smaller(client):
    for path in (path for path, coding in CODINGS.items() if accepts(client, coding)):
        assert int(client.ask('POST', path, data=TEXT.encode()).headers['content-length']) < len(TEXT) / 100


def nothing_is_coded_for_who_does_not_want_it(client):
    for path, coding in CODINGS.items():
        for accepted in 'identity', f'{coding};q=0', 'x-other':
            response = client.ask('POST', path, data=b'plain', headers={'Accept-Encoding': accepted})
            assert 'content-encoding' not in response.headers and response.json()['body'] == 'plain', accepted
        assert client.ask('GET', path, headers={'Accept-Encoding': f'{coding};q=0, identity;q=0'}).status_code == 406


each(each_coding_is_decoded, they_are_much_smaller, nothing_is_coded_for_who_does_not_want_it)
