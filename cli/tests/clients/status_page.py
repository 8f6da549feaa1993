"""A browser opens the status page.

    status_page.py http://ADMIN http://SERVER"""
import sys
import urllib.request

from devtools import browser

ADMIN, SERVER = sys.argv[1:]
TARGET = "/delay/600000?<script>alert(1)</script>'\"&amp;"


def until(page, what, script):
    """Polls in the page, with a bound that only a failure reaches."""
    seen = page.evaluate('''(async () => {
        for (let i = 0; i < 400; i++) {
            if (%s) return true;
            await new Promise(resolve => setTimeout(resolve, 100));
        }
    })()''' % script)
    assert seen, f'{what}: {page.evaluate("document.body.innerText")}'


def the_page_shows_the_server_and_escapes_what_clients_send(page):
    page.open(ADMIN + '/status')
    assert page.evaluate('document.contentType') == 'text/html'
    until(page, 'it serves', "document.querySelector('.state').textContent === 'serving'")
    until(page, 'two workers', "document.querySelectorAll('.state.good').length === 3")
    until(page, 'the request', "document.querySelector('td.wide code') !== null")
    assert page.evaluate("document.querySelector('td.wide code').textContent") == TARGET
    # The page's own is the only one.
    assert page.evaluate("document.querySelectorAll('script').length") == 1


def it_updates_itself(page):
    page.open(ADMIN + '/status')
    urllib.request.urlopen(SERVER + '/health').read()
    until(page, 'updates', "document.getElementById('live').dataset.updates >= 2")
    until(page, 'the new request', "/\\b[1-9]\\d* in all/.test(document.querySelector('.tile').innerText)")
    until(page, 'a line', "document.querySelector('.spark .line').getAttribute('d').startsWith('M')")


def it_fits_a_telephone_and_a_desk(page):
    page.open(ADMIN + '/status')
    for width, scheme in (320, 'light'), (375, 'dark'), (1280, 'light'), (1280, 'dark'):
        page.call('Emulation.setDeviceMetricsOverride', width=width, height=800, deviceScaleFactor=1,
                  mobile=width < 1000)
        page.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])
        overflow = page.evaluate('''[...document.querySelectorAll('body, body *')].filter(element =>
            !element.closest('svg') && element.getBoundingClientRect().right > innerWidth + 1).map(element => element.outerHTML)''')
        assert not overflow, f'{width}: {overflow[:3]}'
        assert page.evaluate('document.documentElement.scrollWidth <= innerWidth'), width
        colours = page.evaluate("[getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color]")
        brightness = [sum(map(int, colour[4:-1].split(','))) for colour in colours]
        assert (brightness[0] > brightness[1]) == (scheme == 'light'), (scheme, colours)


def it_works_without_javascript(page):
    page.call('Emulation.setScriptExecutionDisabled', value=True)
    page.open(ADMIN + '/status')
    # Evaluating works all the same.
    assert page.evaluate("document.querySelector('h1').textContent").startswith('the built-in')
    assert page.evaluate("document.querySelector('meta[http-equiv=refresh]').content") == '5'
    page.events.clear()
    while 'Page.loadEventFired' not in page.events:
        page.receive()  # it loads itself again
    page.call('Emulation.setScriptExecutionDisabled', value=False)


with browser() as page:
    for check in (the_page_shows_the_server_and_escapes_what_clients_send, it_updates_itself,
                  it_fits_a_telephone_and_a_desk, it_works_without_javascript):
        check(page)
        assert not page.errors, f'{check.__name__}: {page.errors}'
