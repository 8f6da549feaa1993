//! Error pages that the server sends in place of the app's response.

use super::config::LuaConfig;
use super::debug_page::{self, Asked, Form, Shown};
use super::files::CodeFiles;
use tine_worker::app::{AppError, Out};
use tine_worker::http::{Head, Response, StatusCode};

const TEXT: &str = "text/plain; charset=utf-8";

pub struct Page {
    head: Head,
    text: String,
}

/// What an error page may show with `--debug`, and of which request.
pub struct Debugged<'a> {
    pub asked: &'a Asked,
    pub code: CodeFiles,
}

impl Page {
    /// 500: the app raised an error, which is shown only with `--debug`.
    pub fn failed(text: &str, config: &LuaConfig, debugged: Option<Debugged<'_>>) -> Page {
        Page::of_error(StatusCode::INTERNAL_SERVER_ERROR, "the application failed", text, config, debugged)
    }

    /// 504: the app timed out.
    pub fn timed_out(text: &str, config: &LuaConfig, debugged: Option<Debugged<'_>>) -> Page {
        Page::of_error(StatusCode::GATEWAY_TIMEOUT, "the application took too long", text, config, debugged)
    }

    /// 500, with `--reload`: the app could not be loaded.
    pub fn not_loaded(text: &str, config: &LuaConfig, debugged: Option<Debugged<'_>>) -> Page {
        Page::of_error(StatusCode::INTERNAL_SERVER_ERROR, "the application could not be loaded", text, config, debugged)
    }

    pub fn too_large() -> Page {
        let text = "413 Payload Too Large: the request body is longer than this server accepts\n";
        Page::plain(StatusCode::PAYLOAD_TOO_LARGE, text.to_string())
    }

    /// 400: C functions would take the path to end at the zero byte, so an app could check one file name and open
    /// another.
    pub fn zero_byte() -> Page {
        let text = "400 Bad Request: the path has a zero byte (%00)\n";
        Page::plain(StatusCode::BAD_REQUEST, text.to_string())
    }

    fn plain(status: StatusCode, text: String) -> Page {
        Page { head: Head::new(status).content_type(TEXT), text }
    }

    fn of_error(
        status: StatusCode,
        what: &str,
        text: &str,
        config: &LuaConfig,
        debugged: Option<Debugged<'_>>,
    ) -> Page {
        let Some(Debugged { asked, code }) = debugged.filter(|_| config.debug) else {
            return Page::plain(status, format!("{status}: {what}\n"));
        };
        let hint = match config.reloads {
            true => "Save a file, and the app is loaded anew (--reload)",
            false => "Shown because of --debug",
        };
        let shown = Shown { status, what, text, code: &code, asked, hint };
        // Nothing of it is for a cache, and no browser is to guess what it is.
        let head = Head::new(status).header("Cache-Control", "no-store").header("X-Content-Type-Options", "nosniff");
        match asked.form() {
            Form::Html => {
                let (text, policy) = debug_page::html(&shown);
                let head = head.content_type("text/html; charset=utf-8").header("Referrer-Policy", "no-referrer");
                Page { head: head.header("Content-Security-Policy", policy), text }
            }
            Form::Json => Page { head: head.content_type("application/json"), text: debug_page::json(&shown) },
            Form::Text => Page { head: head.content_type(TEXT), text: debug_page::text(&shown) },
        }
    }

    pub fn response(self) -> Response {
        Response::with_head(self.head, self.text)
    }

    pub fn write(self, out: &mut Out<'_>) -> Result<(), AppError> {
        out.head(self.head.length(self.text.len() as u64))?;
        out.write(self.text.as_bytes())
    }
}
