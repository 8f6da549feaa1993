"""Python's ssl and http.client over HTTPS: each version of TLS, what is agreed on, the name that is verified, a session that is resumed.

    https.py PORT CA"""
import http.client
import json
import socket
import ssl
import sys

PORT, CA = int(sys.argv[1]), sys.argv[2]
BODY = bytes(range(256)) * 4096


def context(version, protocols=()):
    made = ssl.create_default_context(cafile=CA)
    made.minimum_version = made.maximum_version = version
    if protocols:
        made.set_alpn_protocols(list(protocols))
    return made


def begin(made, name='localhost', session=None):
    return made.wrap_socket(socket.create_connection(('127.0.0.1', PORT), 20), server_hostname=name, session=session)


for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    made = context(version)
    connection = http.client.HTTPSConnection('localhost', PORT, context=made, timeout=20)
    for _ in range(3):
        connection.request('POST', '/upload', BODY)
        said = json.load(connection.getresponse())
        assert said['bytes_received'] == len(BODY), said
    connection.request('GET', '/bin/3M?chunked=1')
    assert len(connection.getresponse().read()) == 3 << 20
    assert connection.sock.version() == version.name.replace('_', '.'), connection.sock.version()
    connection.close()
    for protocols, agreed in (('h2', 'http/1.1'), 'h2'), (('http/1.1',), 'http/1.1'), ((), None):
        with begin(context(version, protocols)) as client:
            assert client.selected_alpn_protocol() == agreed, (protocols, client.selected_alpn_protocol())
    try:
        begin(made, 'other.test')
        raise AssertionError('a name that the certificate does not have')
    except ssl.SSLCertVerificationError:
        pass
    session = None
    for attempt in range(4):
        with begin(made, session=session) as client:
            assert client.session_reused == (attempt > 0), (version, attempt)
            client.sendall(b'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
            # Up to the close_notify: without it this is an SSLEOFError.
            answer = b''.join(iter(lambda: client.recv(65536), b''))
            assert answer.startswith(b'HTTP/1.1 200'), answer
            session = client.session
