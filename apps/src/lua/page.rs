//! Error pages that the server sends in place of the app's response.

use super::config::LuaConfig;
use tine_worker::app::{AppError, Out};
use tine_worker::http::{Head, Response, StatusCode};

pub struct Page {
    status: StatusCode,
    text: String,
}

impl Page {
    /// 500: the app raised an error, which is shown only with `--debug`.
    pub fn failed(text: &str, config: &LuaConfig) -> Page {
        Page::of_error(StatusCode::INTERNAL_SERVER_ERROR, "the application failed", text, config)
    }

    /// 504: the app timed out.
    pub fn timed_out(text: &str, config: &LuaConfig) -> Page {
        Page::of_error(StatusCode::GATEWAY_TIMEOUT, "the application took too long", text, config)
    }

    pub fn too_large() -> Page {
        let text = "413 Payload Too Large: the request body is longer than this server accepts\n";
        Page { status: StatusCode::PAYLOAD_TOO_LARGE, text: text.to_string() }
    }

    /// 400: C functions would take the path to end at the zero byte, so an app could check one file name and open
    /// another.
    pub fn zero_byte() -> Page {
        let text = "400 Bad Request: the path has a zero byte (%00)\n";
        Page { status: StatusCode::BAD_REQUEST, text: text.to_string() }
    }

    /// 400: what became a WebSocket is not a handshake.
    pub fn no_handshake() -> Page {
        Page { status: StatusCode::BAD_REQUEST, text: "Not a websocket handshake\n".to_string() }
    }

    fn of_error(status: StatusCode, what: &str, text: &str, config: &LuaConfig) -> Page {
        let debug = if config.debug { format!("\n{text}\n") } else { String::new() };
        Page { status, text: format!("{status}: {what}\n{debug}") }
    }

    pub fn response(self) -> Response {
        Response::text(self.status, self.text)
    }

    pub fn write(self, out: &mut Out<'_>) -> Result<(), AppError> {
        let head = Head::new(self.status).content_type("text/plain; charset=utf-8");
        out.head(head.length(self.text.len() as u64))?;
        out.write(self.text.as_bytes())
    }
}
