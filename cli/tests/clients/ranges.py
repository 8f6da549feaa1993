"""Ranges and conditional requests, as sent by a client that already has a part."""
import email
import email.policy

from both import each

SIZE = 1 << 20


def whole(client):
    return client.ask('GET', '/range/1M')


def parts_make_the_whole(client):
    """As a client that downloads in pieces, or resumes a broken download."""
    all_of_it, parts = whole(client).content, []
    for start in range(0, SIZE, 300000):
        response = client.ask('GET', '/range/1M', headers={'Range': f'bytes={start}-{start + 299999}'})
        end = min(start + 300000, SIZE)
        assert (response.status_code, response.headers['content-range']) == (206, f'bytes {start}-{end - 1}/{SIZE}')
        parts.append(response.content)
    assert b''.join(parts) == all_of_it == client.ask('GET', '/bin/1M').content


def the_end_of_it(client):
    response = client.ask('GET', '/range/1M', headers={'Range': 'bytes=-10'})
    assert (response.status_code, response.content) == (206, whole(client).content[-10:])


def several_ranges(client):
    """A multipart body, read by Python's own parser."""
    response = client.ask('GET', '/range/1M', headers={'Range': 'bytes=0-9, 1000-1999, -5'})
    assert response.status_code == 206
    head = f'Content-Type: {response.headers["content-type"]}\r\n\r\n'.encode()
    message = email.message_from_bytes(head + response.content, policy=email.policy.HTTP)
    assert message.get_content_type() == 'multipart/byteranges'
    all_of_it = whole(client).content
    expected = [(f'bytes 0-9/{SIZE}', all_of_it[:10]), (f'bytes 1000-1999/{SIZE}', all_of_it[1000:2000]),
                (f'bytes {SIZE - 5}-{SIZE - 1}/{SIZE}', all_of_it[-5:])]
    parts = [(part['content-range'], part.get_payload(decode=True)) for part in message.iter_parts()]
    assert parts == expected


def beyond_the_end(client):
    response = client.ask('GET', '/range/1M', headers={'Range': f'bytes={SIZE}-'})
    assert (response.status_code, response.headers['content-range']) == (416, f'bytes */{SIZE}')


def only_if_it_is_still_the_same(client):
    tag = whole(client).headers['etag']
    for condition, status in (tag, 206), ('"another"', 200):
        headers = {'Range': 'bytes=5-', 'If-Range': condition}
        assert client.ask('GET', '/range/1M', headers=headers).status_code == status


def what_is_cached_is_not_sent_again(client):
    first = client.ask('GET', '/etag/v1')
    assert first.status_code == 200
    for headers in {'If-None-Match': first.headers['etag']}, {'If-Modified-Since': first.headers['last-modified']}:
        again = client.ask('GET', '/etag/v1', headers=headers)
        assert (again.status_code, again.content, again.headers['etag']) == (304, b'', first.headers['etag'])
    assert client.ask('GET', '/etag/v2', headers={'If-None-Match': first.headers['etag']}).status_code == 200
    assert client.ask('PUT', '/etag/v2', headers={'If-Match': first.headers['etag']}).status_code == 412


each(parts_make_the_whole, the_end_of_it, several_ranges, beyond_the_end, only_if_it_is_still_the_same,
     what_is_cached_is_not_sent_again)
