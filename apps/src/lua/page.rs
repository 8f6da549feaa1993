//! The pages that a client gets where the app has none for it.

use super::config::LuaConfig;
use tine_worker::app::{AppError, Out};
use tine_worker::http::{Head, Response, StatusCode};

pub struct Page {
    status: StatusCode,
    text: String,
}

impl Page {
    /// 500: the app raised an error, which only a developer is shown.
    pub fn failed(text: &str, config: &LuaConfig) -> Page {
        Page::of_error(StatusCode::INTERNAL_SERVER_ERROR, "the application failed", text, config)
    }

    /// 504: the app took too long.
    pub fn time_is_up(text: &str, config: &LuaConfig) -> Page {
        Page::of_error(StatusCode::GATEWAY_TIMEOUT, "the application took too long", text, config)
    }

    pub fn too_large() -> Page {
        let text = "413 Payload Too Large: the request's body is longer than this server takes\n";
        Page { status: StatusCode::PAYLOAD_TOO_LARGE, text: text.to_string() }
    }

    /// 400: what the app gives to C would end at that byte, the name of a file not being the one that was looked at.
    pub fn zero_byte() -> Page {
        let text = "400 Bad Request: the path has a zero byte (%00)\n";
        Page { status: StatusCode::BAD_REQUEST, text: text.to_string() }
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
