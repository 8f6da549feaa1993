"""A browser opens /help, follows its links, and talks to /sse and /ws from there.

    browser.py http://HOST:PORT
    browser.py https://HOST:PORT CA"""
import sys

from devtools import browser

BASE, CA = (sys.argv[1:] + [None])[:2]


def the_help_is_a_page_with_a_link_for_each_endpoint(page):
    page.open(BASE + '/help')
    assert page.evaluate('document.contentType') == 'text/html'
    listed = page.evaluate("[...document.querySelectorAll('td:first-child code')].map(cell => cell.textContent)")
    for path in '/health', '/bin/{size}', '/sse', '/ws':
        assert any(line.startswith(path) for line in listed), f'{path} is not in {listed}'
    links = page.evaluate("document.querySelectorAll('td a[href^=\"/\"]').length")
    assert links == len(listed) > 10, f'{links} links for {listed}'


def https_is_http2(page):
    """Over TLS both sides prefer HTTP/2."""
    used = page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
    assert used == ('h2' if CA else 'http/1.1'), used
    assert page.evaluate('isSecureContext')


def an_event_source_has_its_events_and_comes_no_more(page):
    """It reconnects by itself when the server ends the stream, with the last id; a 204 tells it to stop (HTML, 9.2)."""
    seen = page.evaluate('''new Promise(resolve => {
        const source = new EventSource('/sse?count=3&every=50'), events = [], states = [];
        source.onmessage = event => events.push([event.lastEventId, JSON.parse(event.data).n]);
        source.onerror = () => {
            states.push(source.readyState);
            if (source.readyState === EventSource.CLOSED) resolve({events, states});
        };
    })''')
    assert seen['events'] == [['1', 1], ['2', 2], ['3', 3]], seen
    assert seen['states'] == [0, 2], f'it tries again once, and then no more: {seen}'


def a_web_socket_echoes_and_closes_cleanly(page):
    seen = page.evaluate('''new Promise(resolve => {
        const socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws'), seen = [];
        socket.binaryType = 'arraybuffer';
        socket.onopen = () => { socket.send('tine ♆'); socket.send(new Uint8Array([0, 127, 128, 255])); };
        socket.onmessage = message => {
            const data = message.data;
            seen.push(typeof data === 'string' ? data : [...new Uint8Array(data)]);
            if (seen.length === 2) socket.close(3000, 'enough');
        };
        socket.onerror = () => seen.push('an error');
        socket.onclose = closed => resolve([...seen, closed.wasClean, closed.code, closed.reason]);
    })''')
    assert seen[:3] == ['tine ♆', [0, 127, 128, 255], True] and seen[3] == 3000, seen


def the_servers_close_is_clean_too(page):
    seen = page.evaluate('''new Promise(resolve => {
        const socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws/close'), seen = [];
        socket.onopen = () => socket.send('hello');
        socket.onmessage = message => seen.push(message.data);
        socket.onclose = closed => resolve([...seen, closed.wasClean, closed.code, closed.reason]);
    })''')
    assert seen == ['Server received: hello', True, 1000, 'server done'], seen


def what_fetch_gets(page):
    """A streamed body, an uploaded one, and compressed ones, which the browser requests and decodes by itself."""
    assert page.evaluate("fetch('/bin/3M').then(r => r.arrayBuffer()).then(b => b.byteLength)") == 3 << 20
    assert page.evaluate("fetch('/bin/3M?chunked=1').then(r => r.arrayBuffer()).then(b => b.byteLength)") == 3 << 20
    sent = page.evaluate("fetch('/any/path?a=♆', {method: 'PATCH', body: 'tine ♆'}).then(r => r.json())")
    assert (sent['method'], sent['body']) == ('PATCH', 'tine ♆'), sent


def the_page_itself_talks_to_both(page):
    for script, log, text in (
            ("document.getElementById('sse-button').click()", 'sse-log', 'id 1: '),
            ("document.getElementById('ws-button').click()", 'ws-log', 'hello')):
        page.evaluate(script)
        page.evaluate(f'''new Promise(resolve => {{
            const log = document.getElementById('{log}');
            const look = () => log.textContent.includes('{text}') ? resolve() : setTimeout(look, 10);
            look();
        }})''')


with browser(CA) as page:
    for test in (the_help_is_a_page_with_a_link_for_each_endpoint, https_is_http2, an_event_source_has_its_events_and_comes_no_more,
                 a_web_socket_echoes_and_closes_cleanly, the_servers_close_is_clean_too, what_fetch_gets,
                 the_page_itself_talks_to_both):
        print(test.__name__, flush=True)
        test(page)
        assert not page.errors, f'the console says {page.errors}'
