//! The command line of `tine top`.

use crate::control_args::WhereArgs;
use clap::Args;
use std::time::Duration;
use tine_common::units::parse_duration;

#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct TopArgs {
    #[command(flatten)]
    pub place: WhereArgs,
    /// Refresh interval, 100ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
}

const AFTER_HELP: &str = "\
Keys: up and down select a worker, s sorts by the next column, r reverses the
order, b changes what the bars show, q and Ctrl-C quit. NO_COLOR turns colours
off. Exit status: 0 quit; 1 the terminal failed; 2 usage error; 3 no server is
running.";

fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        interval if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&interval) => Ok(interval),
        _ => Err("give a time from 100ms to 1h".to_string()),
    }
}
