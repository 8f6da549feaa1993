"""Headless Chromium, driven over its DevTools protocol; not a program itself.

https://chromedevtools.github.io/devtools-protocol/ has the methods and events.
"""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from websockets.sync.client import connect

SECONDS = 40  # for anything; only a failure waits this long


class Page:
    """A tab. Everything that its console counts as an error is in `errors`."""

    def __init__(self, address):
        self.socket = connect(address, max_size=None, open_timeout=SECONDS)
        self.count = 0
        self.session = None
        self.events = []
        self.errors = []
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in 'Page', 'Runtime', 'Log':
            self.call(domain + '.enable')

    def call(self, method, **parameters):
        """A method's result."""
        self.count += 1
        message = {'id': self.count, 'method': method, 'params': parameters}
        if self.session:
            message['sessionId'] = self.session
        self.socket.send(json.dumps(message))
        while (answer := self.receive()).get('id') != self.count:
            pass
        assert 'error' not in answer, f'{method}: {answer}'
        return answer['result']

    def receive(self):
        message = json.loads(self.socket.recv(SECONDS))
        method, parameters = message.get('method'), message.get('params', {})
        self.events.append(method)
        if method == 'Runtime.exceptionThrown':
            self.errors.append(parameters['exceptionDetails'])
        elif method == 'Runtime.consoleAPICalled' and parameters['type'] in ('error', 'assert'):
            self.errors.append(parameters['args'])
        elif method == 'Log.entryAdded' and parameters['entry']['level'] == 'error':
            self.errors.append(parameters['entry'])
        return message

    def open(self, url):
        """Navigates and waits until everything is loaded."""
        self.events.clear()
        failure = self.call('Page.navigate', url=url).get('errorText')
        assert not failure, f'{url}: {failure}'
        while 'Page.loadEventFired' not in self.events:
            self.receive()

    def evaluate(self, script):
        """The value of an expression in the page; of a promise, the value that it resolves to."""
        answer = self.call('Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True)
        assert 'exceptionDetails' not in answer, answer['exceptionDetails']
        return answer['result'].get('value')


def trust(ca, folder):
    """Chromium trusts the authorities of this database below its home directory."""
    os.makedirs(folder)
    for options in ('-N', '--empty-password'), ('-A', '-t', 'C,,', '-n', 'test', '-i', ca):
        subprocess.run(['certutil', '-d', 'sql:' + folder, *options], check=True, stdin=subprocess.DEVNULL, timeout=SECONDS)


@contextlib.contextmanager
def browser(ca=None):
    """A fresh page in a browser without a history, which ends with the block. `ca`: a file of an authority that it trusts."""
    assert shutil.which('chromium'), 'Chromium is not installed; scripts/test does that'
    with tempfile.TemporaryDirectory(prefix='tine-chromium-', ignore_cleanup_errors=True) as folder:
        if ca:
            trust(ca, os.path.join(folder, '.pki', 'nssdb'))
        with open(os.path.join(folder, 'log'), 'w') as log:
            process = subprocess.Popen(
                ['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
                 '--no-first-run', '--no-proxy-server', '--disable-background-networking', '--disable-component-update',
                 '--remote-debugging-port=0', '--user-data-dir=' + folder],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, 'HOME': folder})
        try:
            port_file = pathlib.Path(folder, 'DevToolsActivePort')
            end = time.monotonic() + SECONDS
            # The port, and the path on the next line: complete with both lines.
            while not port_file.exists() or port_file.read_text().count('/') == 0:
                is_alive = process.poll() is None and time.monotonic() < end
                assert is_alive, 'Chromium does not start: ' + pathlib.Path(folder, 'log').read_text()
                time.sleep(0.02)
            port, path = port_file.read_text().split()
            page = Page(f'ws://127.0.0.1:{port}{path}')
            yield page
            page.session = None
            page.socket.send(json.dumps({'id': 0, 'method': 'Browser.close'}))
            process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()
