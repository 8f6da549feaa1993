//! The command line of `tine top`.

use crate::control::WhereArgs;
use clap::Args;
use std::time::Duration;
use tine_common::units::parse_duration;

#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct TopArgs {
    #[command(flatten)]
    pub place: WhereArgs,
    /// How often to look, 100ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
}

const AFTER_HELP: &str = "\
Keys: up and down choose a worker, s sorts by the next column, r turns the order
around, b makes bars of another count, q and Ctrl-C leave. NO_COLOR turns colours
off. Exit status: 0 left; 1 the terminal failed; 2 wrong use; 3 no server is
there at the start.";

fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        interval if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&interval) => Ok(interval),
        _ => Err("give a time from 100ms to 1h".to_string()),
    }
}
