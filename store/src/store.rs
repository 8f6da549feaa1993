//! The connection to the store, and its one script.
//!
//! A connection that has failed in any way is dropped, and a new one made: an answer that comes late is never taken for that of
//! another request.

use crate::lease::{Grant, Report};
use redis::{Client, Connection, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, Script};
use std::time::Duration;
use tine_common::config::{StoreAt, StoreUrl};

/// A server that is silent for this long is taken for dead, and its share of the concurrency is free.
pub const TTL: Duration = Duration::from_secs(5);
/// After this time since a restart of the store, each living server has reported to it again: it is longer than they wait
/// between two attempts, and for an answer.
const GRACE: Duration = Duration::from_secs(3);
/// After this time, each server that is in contact with the store has reported to it.
const RECALL: Duration = Duration::from_millis(500);
/// The key is removed when no server has reported for this long.
const FORGET: Duration = Duration::from_secs(24 * 3600);
/// To connect, and to answer.
const TIMEOUT: Duration = Duration::from_millis(500);

pub struct Store {
    client: Client,
    /// Where all servers keep their shares.
    key: String,
    /// This server.
    id: String,
    script: Script,
    connection: Option<Connected>,
}

struct Connected {
    connection: Connection,
    /// Another one after each start of the store.
    run: String,
    /// By the store's clock.
    started_ms: u64,
}

impl Store {
    pub fn new(url: &StoreUrl, id: String) -> Result<Store, String> {
        let mut settings = RedisConnectionInfo::default().set_db(url.db).set_skip_set_lib_name();
        if let Some(user) = &url.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &url.password {
            settings = settings.set_password(password);
        }
        let address = match &url.at {
            StoreAt::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
            StoreAt::Unix(path) => ConnectionAddr::Unix(path.clone()),
        };
        let info = address.into_connection_info().map_err(|e| e.to_string())?.set_redis_settings(settings);
        let client = Client::open(info).map_err(|e| e.to_string())?;
        let script = Script::new(include_str!("grant.lua"));
        Ok(Store { client, key: url.key.clone(), id, script, connection: None })
    }

    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Reports what this server holds, and returns what it is granted. The error is one line, without the password.
    pub fn report(&mut self, report: &Report) -> Result<Grant, String> {
        let answer = self.connect().and_then(|()| self.invoke(report));
        answer.inspect_err(|_| self.connection = None)
    }

    fn connect(&mut self) -> Result<(), String> {
        if self.connection.is_some() {
            return Ok(());
        }
        let connect = || -> redis::RedisResult<(Connection, String, (u64, u64))> {
            let mut connection = self.client.get_connection_with_timeout(TIMEOUT)?;
            connection.set_read_timeout(Some(TIMEOUT))?;
            connection.set_write_timeout(Some(TIMEOUT))?;
            let about = redis::cmd("INFO").arg("server").query(&mut connection)?;
            let time = redis::cmd("TIME").query(&mut connection)?;
            Ok((connection, about, time))
        };
        let (connection, about, (now_s, _)) = connect().map_err(|e| one_line(&e))?;
        let of = |name: &str| about.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let run = of("run_id").ok_or("it does not tell its run_id")?.to_string();
        let uptime_s: u64 = of("uptime_in_seconds").and_then(|text| text.parse().ok()).unwrap_or(0);
        let started_ms = 1000 * now_s.saturating_sub(uptime_s);
        self.connection = Some(Connected { connection, run, started_ms });
        Ok(())
    }

    fn invoke(&mut self, report: &Report) -> Result<Grant, String> {
        let Connected { connection, run, started_ms } = self.connection.as_mut().ok_or("not connected")?;
        let ms = |time: Duration| time.as_millis() as u64;
        let mut invocation = self.script.key(&self.key);
        invocation.arg(&self.id).arg(&*run).arg(*started_ms).arg(ms(GRACE)).arg(ms(RECALL)).arg(ms(FORGET));
        invocation.arg(u8::from(report.is_leaving)).arg(u8::from(report.was_here)).arg(report.serial).arg(ms(TTL));
        invocation.arg(&[report.limit, report.held, report.want][..]);
        invocation.arg(&[report.rate, report.window_ms, report.rate_held, report.rate_want][..]);
        let answer: Vec<i64> = invocation.invoke(connection).map_err(|e| one_line(&e))?;
        Grant::of(&answer).ok_or_else(|| "its answer is not that of the script".to_string())
    }
}

fn one_line(error: &redis::RedisError) -> String {
    tine_common::log::one_line(&error.to_string())
}
