//! A request that waits for a socket holds no other up: 200 of them wait at a Redis at the same moment, on one worker, by
//! redis-lua as Debian has it, and by sockets of the app's own.

use crate::support::eventually;
use crate::support::lua::{folder_with, serve_from, text_of};
use crate::support::redis::Redis;
use crate::support::{Client, Server};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Debian has redis-lua for 5.1 to 5.3; it is the same file.
const REDIS_LUA: &str = "/usr/share/lua/5.1/?.lua;;";

const WITH_REDIS_LUA: &str = r#"
tine.socket.install()
local redis = require("redis")
function app(environ, start_response)
  start_response("200 OK", {})
  local client = redis.connect("127.0.0.1", tonumber(os.getenv("REDIS")))
  local got = client:blpop("jobs", 60)
  client:quit()
  return got[2]
end
"#;

const WITH_SOCKETS: &str = r#"
function app(environ, start_response)
  start_response("200 OK", {})
  local socket = assert(tine.socket.connect("localhost", os.getenv("REDIS")))
  -- In coroutines inside of coroutines.
  local inner = coroutine.wrap(function()
    local read = coroutine.wrap(function()
      assert(socket:send("BLPOP jobs 60\r\n"))
      assert(socket:receive("*l") == "*2")
      assert(socket:receive() == "$4")
      assert(socket:receive(6) == "jobs\r\n")
      local length = tonumber(assert(socket:receive("*l")):sub(2))
      coroutine.yield((assert(socket:receive(length + 2)):sub(1, length)))
    end)
    coroutine.yield(read())
  end)
  local got = inner()
  assert(socket:setkeepalive())
  return got
end
"#;

fn serve(app: &str, redis: &Redis) -> Server {
    let folder = folder_with(&[("app.lua", app)]);
    let port = redis.port().to_string();
    serve_from(&folder, "app.lua", &["--workers", "1"], &[("REDIS", &port), ("LUA_PATH", REDIS_LUA)])
}

/// The answer of one command, as it comes.
fn tell(redis: &Redis, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).expect("Redis");
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).expect("Redis reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("Redis answers");
    answer
}

fn expect_200_at_once(app: &str) {
    let redis = Redis::start();
    let server = serve(app, &redis);
    let mut clients: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n"));
    eventually("all of them wait at the Redis", || {
        tell(&redis, "INFO clients").contains("\nblocked_clients:200\r").then_some(())
    });
    for number in 0..200 {
        tell(&redis, &format!("RPUSH jobs job{number}"));
    }
    let mut got: Vec<String> = clients.iter_mut().map(|client| client.response().text()).collect();
    let mut expected: Vec<String> = (0..200).map(|number| format!("job{number}")).collect();
    got.sort();
    expected.sort();
    assert_eq!(got, expected, "{}", server.log());
}

#[test]
fn of_redis_lua() {
    expect_200_at_once(WITH_REDIS_LUA);
}

#[test]
fn of_the_apps_own() {
    expect_200_at_once(WITH_SOCKETS);
}

/// As modules for nginx use its sockets: milliseconds, and pools that are counted.
#[test]
fn of_nginxs_shape() {
    let app = r#"
        ngx = { socket = tine.socket.nginx }
        function app(environ, start_response)
          start_response("200 OK", {})
          local socket = assert(ngx.socket.tcp())
          socket:settimeout(20)
          assert(socket:connect("127.0.0.1", tonumber(os.getenv("REDIS"))))
          if environ.PATH_INFO == "/late" then
            assert(socket:send({ "BLPOP", " ", "none 60\r\n" }))
            return select(2, socket:receive())
          end
          socket:settimeout(30000)
          assert(socket:send("INCR visits\r\n"))
          local visits, times = assert(socket:receive()), socket:getreusedtimes()
          assert(socket:setkeepalive(10000, 10))
          return visits .. " " .. times
        end
    "#;
    let redis = Redis::start();
    let server = serve(app, &redis);
    for times in 0..3 {
        assert_eq!(text_of(&server, "/"), format!(":{} {times}", times + 1));
    }
    assert_eq!(text_of(&server, "/late"), "timeout");
}

/// luasocket's own module for HTTP, on sockets that hold nothing up: the app asks itself, on its only worker.
#[test]
fn of_luasockets_http() {
    let app = r#"
        local socket = tine.socket.install()
        local http = require("socket.http")
        assert(require("socket") == socket and tine.socket.install() == socket)
        function app(environ, start_response)
          start_response("200 OK", {})
          if environ.PATH_INFO == "/inner" then
            return environ.HTTP_USER_AGENT or "none"
          end
          local body, status = http.request("http://" .. environ.HTTP_HOST .. "/inner")
          local none, why = http.request("http://127.0.0.1:1/")
          return tostring(body) .. " " .. tostring(status) .. " " .. tostring(none) .. " " .. tostring(why)
        end
    "#;
    let folder = folder_with(&[("app.lua", app)]);
    let server = serve_from(&folder, "app.lua", &["--workers", "1"], &[]);
    let mut client = server.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()));
    let text = client.response().text();
    assert!(
        text.starts_with("LuaSocket 3") && text.ends_with(" 200 nil connection refused"),
        "{text}\n{}",
        server.log()
    );
    assert_eq!(text_of(&server, "/inner"), "none");
}
