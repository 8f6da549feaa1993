"""A browser opens the page of an error.

    error_page.py http://SERVER APP.lua"""
import pathlib
import sys

from devtools import browser

SERVER, APP = sys.argv[1:]
FINE = '''function app(environ, start_response)
  start_response("200 OK", { { "Content-Type", "text/html" } })
  return "<title>fine</title><p>fine"
end'''


def the_page_shows_the_error_and_nothing_runs(page):
    page.open(SERVER + '/?<script>document.title="run"</script>')
    assert page.evaluate('document.contentType') == 'text/html'
    assert page.evaluate("document.querySelector('h1').textContent").startswith('app.lua:3: failed: <img src=x')
    assert page.evaluate("document.querySelectorAll('script, img').length") == 0
    assert page.evaluate('document.title').startswith('500: app.lua:3')
    here = page.evaluate("document.querySelector('.source .here').textContent")
    assert here.startswith('3') and 'error("failed: "' in here, here
    # The style applies: its nonce is that of the policy.
    assert page.evaluate("getComputedStyle(document.querySelector('ol')).listStyleType") == 'none'


def it_fits_a_telephone_and_a_desk(page):
    for width, scheme in (320, 'light'), (375, 'dark'), (1280, 'light'), (1280, 'dark'):
        page.call('Emulation.setDeviceMetricsOverride', width=width, height=800, deviceScaleFactor=1,
                  mobile=width < 1000)
        page.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])
        assert page.evaluate('document.documentElement.scrollWidth <= innerWidth'), width
        colours = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
        brightness = [sum(map(int, colour[4:-1].split(','))) for colour in colours]
        assert (brightness[0] > brightness[1]) == (scheme == 'light'), (scheme, colours)


def a_change_is_shown_by_the_next_load(page):
    pathlib.Path(APP).write_text('local x = = 1\n')
    until(page, "document.querySelector('h1').textContent.startsWith('app.lua:1: unexpected symbol')")
    pathlib.Path(APP).write_text(FINE)
    until(page, "document.title === 'fine'")


def until(page, script):
    """Loads the page again and again, with a bound that only a failure reaches."""
    for _ in range(200):
        page.open(SERVER + '/')
        if page.evaluate(script):
            return
    raise AssertionError(f'{script}: {page.evaluate("document.body.innerText")}')


with browser() as page:
    for check in (the_page_shows_the_error_and_nothing_runs, it_fits_a_telephone_and_a_desk,
                  a_change_is_shown_by_the_next_load):
        check(page)
        # Chromium counts a page with the status 500 as an error; and there is no icon.
        others = [error for error in page.errors if 'status of 500' not in str(error)]
        assert not others, f'{check.__name__}: {others}'
