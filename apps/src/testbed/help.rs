//! `/help`: one line an endpoint.

pub const TEXT: &str = "\
Available endpoints:
  /                          echo the request as JSON; so does every path not listed here
  /health                    {\"status\":\"ok\"}
  /help                      this list
  /bin/{size}[?chunked=1]    size bytes (512, 1K, 10M, 1G, ...), with Content-Length or chunked
  /stream[/{MB}]             a chunked stream of 10 (or 1 to 1000) MB in small chunks
  /delay/{ms}[/{read ms}]    echo after ms; with a second number, read the body that slowly first
  /ws                        WebSocket: echo messages
  /ws/close                  WebSocket: answer one message and close
  /ws/ticker[?every=&count=] WebSocket: a message every so many ms
  /upload                    read and count the request body, however large
  /fault/{failure}           a failure on request; /fault lists them
";
