//! What answers in place of an app that could not be loaded, with `--reload`: every request gets the reason.

use super::config::LuaConfig;
use super::debug_page::Asked;
use super::files::CodeFiles;
use super::page::{Debugged, Page};
use std::path::PathBuf;
use tine_worker::app::{Answer, App, Cx};
use tine_worker::http::Request;

pub struct StandIn {
    text: String,
    code: CodeFiles,
    config: LuaConfig,
}

impl StandIn {
    /// `text`: the error; `code`: the files of code that were loaded or looked for.
    pub fn new(text: &str, code: &[PathBuf], config: &LuaConfig) -> StandIn {
        StandIn { text: text.to_string(), code: CodeFiles(code.to_vec()), config: config.clone() }
    }
}

impl App for StandIn {
    fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
        let asked = Asked::of(request);
        let debugged = Debugged { asked: &asked, code: self.code.clone() };
        Page::not_loaded(&self.text, &self.config, Some(debugged)).response().into()
    }
}
