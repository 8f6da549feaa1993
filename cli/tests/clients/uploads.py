"""Forms with files from requests, httpx and a browser.

    uploads.py http://HOST:PORT"""
import hashlib
import sys

from both import Httpx, Requests
from devtools import browser

BASE = sys.argv[1]
LARGE = bytes(range(256)) * 1000
NAMES = {'a"b;c.txt', 'é ♆.txt', 'back\\slash', "it's=100%"}


def told(name, content, kind):
    return ['f', name, kind, len(content), hashlib.sha256(content).hexdigest()]


for client in Requests(BASE), Httpx(BASE):
    files = [('f', (name, LARGE, 'image/png')) for name in sorted(NAMES)]
    answer = client.session.post(BASE + '/', data={'a': ['1', 'é'], 'name "x"': 'y\r\nz'}, files=files, timeout=20)
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert seen[:3] == [['a', '1'], ['a', 'é'], ['name "x"', 'y\r\nz']], (client.name, seen[:3])
    # Backslashes are not escaped by either, but only \\ and \" would be read as such.
    assert seen[3:] == [told(name, LARGE, 'image/png') for name in sorted(NAMES)], (client.name, seen[3:])
    empty = client.session.post(BASE + '/', files={'f': ('', b'')}, timeout=20)
    assert empty.status_code in (200, 415), empty.text

with browser() as page:
    page.open(BASE + '/')
    seen = page.evaluate('''(async () => {
        const form = new FormData(), bytes = new Uint8Array(256000).map((_, at) => at %% 256);
        form.append('a', '1');
        form.append('a', 'é');
        form.append('name "x"', 'y\\nz');
        for (const name of %s) form.append('f', new File([bytes], name, {type: 'image/png'}));
        return (await fetch('/', {method: 'POST', body: form})).json();
    })()''' % sorted(NAMES))
    assert seen[:3] == [['a', '1'], ['a', 'é'], ['name "x"', 'y\r\nz']], seen[:3]
    assert seen[3:] == [told(name, LARGE, 'image/png') for name in sorted(NAMES)], seen[3:]
    # A form of a page whose file was not chosen.
    page.evaluate('''document.body.innerHTML =
        '<form method=post enctype=multipart/form-data><input name=a value=1><input type=file name=f></form>' ''')
    seen = page.evaluate("fetch('/', {method: 'POST', body: new FormData(document.forms[0])}).then(r => r.json())")
    assert seen == [['a', '1']], seen
    seen = page.evaluate('''fetch('/', {method: 'POST', body: new URLSearchParams([['a b', 'é&='], ['a b', '']])})
        .then(r => r.json())''')
    assert seen == [['a b', 'é&='], ['a b', '']], seen
    assert not page.errors, page.errors
