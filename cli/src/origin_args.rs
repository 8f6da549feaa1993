//! The options of the built-in origin.

use tine_apps::testbed::{Origin, OriginConfig};
use tine_worker::app::AppFactory;

#[derive(clap::Args, Debug, Clone)]
pub struct OriginArgs {
    /// Megabytes that /stream sends by default, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 10, env = "TINE_STREAM_MB", hide_env = true,
          value_parser = stream_mb, help_heading = "Built-in origin")]
    stream_mb: u64,
    /// Chunk size of /stream, 1 to 1M
    #[arg(long, value_name = "SIZE", default_value = "4096", env = "TINE_CHUNK_SIZE", hide_env = true,
          value_parser = chunk_size, help_heading = "Built-in origin")]
    chunk_size: usize,
    /// Disable failures on request: /fault/... answers 404
    #[arg(long, env = "TINE_NO_FAULTS", hide_env = true, value_parser = tine_common::units::parse_yes_or_no,
          help_heading = "Built-in origin")]
    no_faults: bool,
}

impl OriginArgs {
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        vec![
            ("stream-mb", self.stream_mb.to_string()),
            ("chunk-size", tine_common::units::show_size(self.chunk_size as u64)),
            ("no-faults", if self.no_faults { "on" } else { "off" }.to_string()),
        ]
    }

    pub fn factory(self) -> AppFactory {
        let raw_access = (!self.no_faults).then(tine_worker::raw_access::grant);
        let config = OriginConfig { stream_mb: self.stream_mb, chunk_bytes: self.chunk_size, raw_access };
        Box::new(move |worker| Ok(Box::new(Origin::new(config, worker))))
    }
}

fn stream_mb(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number @ 1..=1000) => Ok(number),
        _ => Err("give a number from 1 to 1000".to_string()),
    }
}

fn chunk_size(text: &str) -> Result<usize, String> {
    match tine_common::units::parse_size(text)? {
        bytes @ 1..=0x10_0000 => Ok(bytes as usize),
        _ => Err("a chunk has 1 to 1M bytes".to_string()),
    }
}
