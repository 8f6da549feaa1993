"""The two HTTP clients that the programs here run with: requests and httpx.

Not a program itself. `each(test)` calls it once with each, so that a test says
what both have to see; they share no code below their interface (urllib3 over
http.client, httpcore over h11).
"""
import sys
import traceback

import httpx
import requests


class Requests:
    """A session of requests, which follows redirects by default."""
    name = 'requests'

    def __init__(self, base):
        self.base = base
        self.session = requests.Session()

    def ask(self, method, path, **options):
        """A response whose body was read."""
        return self.session.request(method, self.base + path, timeout=20, **options)

    def pieces(self, path):
        """The body in pieces as they arrive."""
        with self.session.get(self.base + path, timeout=20, stream=True) as response:
            yield from response.iter_content(None)


class Httpx:
    """A client of httpx, configured to follow redirects."""
    name = 'httpx'

    def __init__(self, base):
        self.base = base
        self.session = httpx.Client(timeout=20, follow_redirects=True)

    def ask(self, method, path, data=None, **options):
        """A response whose body was read."""
        return self.session.request(method, self.base + path, content=data, **options)

    def pieces(self, path):
        """The body in pieces as they arrive."""
        with self.session.stream('GET', self.base + path) as response:
            yield from response.iter_raw()


def each(*tests):
    """Runs each test with each client against the server at the first argument; exits with 1 when one fails."""
    failed = 0
    for test in tests:
        for kind in (Requests, Httpx):
            client = kind(sys.argv[1])
            try:
                with client.session:
                    test(client)
                print(f'{kind.name}: {test.__name__}')
            except Exception:
                failed += 1
                print(f'{kind.name}: {test.__name__} FAILED', file=sys.stderr)
                traceback.print_exc()
    sys.exit(failed > 0)
