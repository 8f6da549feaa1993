"""nginx beside tine, for scripts/bench: with a configuration of its own, answering as tine does."""
import os
import shutil
import tempfile
import time
import urllib.request

from harness import end, fail, free_port, need, run, say, start

ANSWER = b'{"status":"ok"}'
NGINX = '''\
daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_timeout 75s;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /health {{ return 200 '{answer}'; }}
    }}
}}
'''


class Nginx:
    """nginx with a configuration of its own, answering as tine does; for `with`."""

    def __init__(self, workers):
        self.folder = tempfile.mkdtemp(prefix='tine-')
        for _ in range(3):  # the port was free a moment ago
            port = free_port()
            config = os.path.join(self.folder, 'nginx.conf')
            with open(config, 'w') as file:
                file.write(NGINX.format(workers=workers, folder=self.folder, port=port, answer=ANSWER.decode()))
            log = open(os.path.join(self.folder, 'log'), 'w')
            self.process = start(['nginx', '-e', 'stderr', '-p', self.folder, '-c', config], stderr=log)
            self.url = f'http://127.0.0.1:{port}'
            if answers(self):
                return
            end(self.process)
        say(open(log.name).read())
        self.__exit__()
        fail('nginx did not start')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


def answers(server):
    """Whether /health says what it should, within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f'{server.url}/health', timeout=5) as response:
                return response.read() == ANSWER
        except OSError:
            time.sleep(0.02)
    return False


def need_nginx():
    """Debian's package starts a server on port 80: it is stopped if this very installation has started it."""
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    if shutil.which('nginx'):
        return
    need('nginx')
    stop = ['systemctl', 'stop', 'nginx'] if os.path.isdir('/run/systemd/system') else ['service', 'nginx', 'stop']
    run((['sudo', '-n'] if os.geteuid() else []) + stop, 30)
    say('stopped the nginx that its package started, if it did')
