"""nginx beside tine, for scripts/bench: with its own configuration, and with Lua if a part needs it."""
import glob
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

from harness import ROOT, Served, end, fail, free_port, need, run, say, start

ANSWER = b'{"status":"ok"}'
NGINX = '''\
{main}
daemon off;
worker_processes {workers};
pid {directory}/pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_timeout 75s;
    keepalive_requests 100000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {http}
    server {{
        listen 127.0.0.1:{port} backlog=4096{listen};
        location = /health {{ return 200 '{answer}'; }}
        {locations}
    }}
}}
'''
# What its Lua module needs; if installed, they would replace the LuaJIT that wrk uses.
LUA_PACKAGES = ('libnginx-mod-http-lua', 'libnginx-mod-http-ndk', 'lua-resty-core', 'lua-resty-lrucache',
                'libluajit2-5.1-2', 'libluajit2-5.1-common', 'libpcre3')


class Nginx(Served):
    """nginx, ready; for `with`. `lua` is what unpacked_lua() returns; `prefix` precedes its command; `listen` and
    `http` are added to the configuration at those places."""

    def __init__(self, workers, locations='', connections=1024, lua=None, prefix=(), listen='', http=''):
        self.directory = tempfile.mkdtemp(prefix='tine-')
        main, of_lua, environment = lua_settings(lua) if lua else ('', '', os.environ)
        for _ in range(3):  # the port was free a moment ago
            port = free_port()
            config = os.path.join(self.directory, 'nginx.conf')
            with open(config, 'w') as file:
                file.write(NGINX.format(workers=workers, directory=self.directory, port=port, answer=ANSWER.decode(),
                                        connections=connections, locations=locations, main=main, http=of_lua + http,
                                        listen=listen))
            log = open(os.path.join(self.directory, 'log'), 'w')
            self.process = start([*prefix, 'nginx', '-e', 'stderr', '-p', self.directory, '-c', config], stderr=log,
                                 env=environment)
            self.url = f'http://127.0.0.1:{port}'
            if answers(self):
                return
            end(self.process)
        say(open(log.name).read())
        self.__exit__()
        fail('nginx did not start')


def answers(server):
    """Whether /health gives the right answer within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f'{server.url}/health', timeout=5) as response:
                return response.read() == ANSWER
        except OSError:
            time.sleep(0.02)
    return False


def need_nginx():
    """Debian's package starts a server on port 80: it is stopped if this installation has started it."""
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    if shutil.which('nginx'):
        return
    need('nginx')
    stop = ['systemctl', 'stop', 'nginx'] if os.path.isdir('/run/systemd/system') else ['service', 'nginx', 'stop']
    run((['sudo', '-n'] if os.geteuid() else []) + stop, 30)
    say('stopped the nginx that its package started, if it did')


def unpacked_lua():
    """The directory with the packages of nginx's Lua, fetched and unpacked once; nothing is installed. LUA_DEBS, if set,
    names a directory that has them already."""
    directory = os.environ.get('LUA_DEBS') or os.path.join(ROOT, 'target', 'bench', 'nginx-lua')
    if lua_module(directory):
        return directory
    scratch = f'{directory}.new'
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    # Not every Debian release has all of them.
    names = [name for name in LUA_PACKAGES if run(['apt-cache', 'show', name], 30)]
    say(f'fetching by apt-get, not to be installed: {" ".join(names)}')
    done = subprocess.run(['apt-get', '-q', 'download', *names], cwd=scratch, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=300) if names else None
    for package in glob.glob(f'{scratch}/*.deb'):
        run(['dpkg', '-x', package, scratch], 60)
        os.remove(package)
    if not lua_module(scratch):
        say(done.stderr.strip() if done else 'apt knows none of them; apt-get update may help')
        fail('could not fetch nginx\'s Lua; LUA_DEBS may name a directory with its packages, unpacked by dpkg -x')
    os.rename(scratch, directory)
    return directory


def lua_module(directory):
    return (glob.glob(f'{directory}/usr/lib/nginx/modules/ngx_http_lua_module.so') or [None])[0]


def lua_settings(directory):
    """For the top of the configuration, for its http block, and the environment."""
    modules = os.path.dirname(lua_module(directory))
    main = f'load_module {modules}/ndk_http_module.so;\nload_module {modules}/ngx_http_lua_module.so;'
    http = f'lua_package_path "{directory}/usr/share/lua/5.1/?.lua;;";'
    libraries = {os.path.dirname(path) for path in glob.glob(f'{directory}/**/*.so.*', recursive=True)}
    return main, http, os.environ | {'LD_LIBRARY_PATH': ':'.join(sorted(libraries))}
