//! `--reload`: reloads the app when one of its files has changed, and shows clients why it cannot be loaded.
//!
//! ```text
//!   watching --a file has changed--> settling --QUIET without another, or SETTLE_MAX--> a reload
//! ```
//!
//! As soon as a change is noticed all workers leave, so that no later request gets the old app: connections wait in the queues.
//! The reload begins once the files are quiet, as an editor or a checkout may write several. A worker that cannot load the app
//! ends, and its successors serve what stands in for the app, until the next reload.

use super::{DEVELOPING, Master};
use crate::children::Child;
use crate::development::{Development, LoadFailure, StandIn};
use crate::watching::Watching;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tine_common::log::indented;
use tine_common::used_files::{self, FileReports, Reader};
use tine_worker::app::AppFactory;
use tine_worker::worker::NOT_BUILT;

/// The files are quiet after this time without a change.
const QUIET: Duration = Duration::from_millis(60);
/// A reload is not put off for longer than this.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// An app reports its files one after another while it loads; what has come is watched at this interval.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(20);

pub struct Developing {
    watching: Watching,
    reader: Reader,
    /// The end that a worker takes when it is forked.
    reports: Option<OwnedFd>,
    stand_in: StandIn,
    /// Files that were found to have changed by their reports, and are not dealt with yet.
    unsettled: Vec<PathBuf>,
    /// When files that were reported are watched.
    follow_at: Option<Instant>,
    /// Files have changed, and workers have left.
    settling: Option<Settling>,
    /// Since when the app cannot be loaded, and why.
    failure: Option<(Instant, LoadFailure)>,
}

struct Settling {
    changed: Vec<PathBuf>,
    began: Instant,
    /// When something changed last.
    latest: Instant,
}

impl Settling {
    fn ends(&self) -> Instant {
        (self.latest + QUIET).min(self.began + SETTLE_MAX)
    }
}

impl Developing {
    pub fn new(development: Development, registry: &Registry, now: Instant) -> io::Result<Developing> {
        let (reader, reports) = used_files::channel()?;
        let watching = Watching::new(&development, now);
        for descriptor in [Some(reader.as_fd().as_raw_fd()), watching.descriptor()].into_iter().flatten() {
            registry.register(&mut SourceFd(&descriptor), Token(DEVELOPING), Interest::READABLE)?;
        }
        let stand_in = development.stand_in;
        Ok(Developing {
            watching,
            reader,
            reports: Some(reports),
            stand_in,
            unsettled: Vec::new(),
            follow_at: None,
            settling: None,
            failure: None,
        })
    }

    /// In a worker just forked, once.
    pub fn take_reports(&mut self, generation: u64) -> FileReports {
        self.reports.take().map_or(FileReports::NONE, |pipe| FileReports::through(pipe, generation))
    }

    /// In a worker just forked: what it serves if the app cannot be loaded.
    pub fn into_stand_in(self) -> Option<AppFactory> {
        let (stand_in, (_, failure)) = (self.stand_in, self.failure?);
        Some(Box::new(move |_| Ok(stand_in(&failure))))
    }

    pub fn deadline(&self) -> Option<Instant> {
        let settled = self.settling.as_ref().map(Settling::ends);
        settled.into_iter().chain(self.follow_at).chain(self.watching.deadline()).min()
    }

    /// Takes what workers have reported, among it files that have changed since a worker looked at them.
    fn hear(&mut self, generation: u64) {
        for used in self.reader.read() {
            let path = used.path.clone();
            if self.watching.note(used, generation) {
                self.unsettled.push(path);
            }
        }
    }

    /// Leaves out what the app has written itself: it reports that before it does it, so that the report is there by now.
    fn of_developer(&mut self, mut changed: Vec<PathBuf>, generation: u64) -> Vec<PathBuf> {
        changed.append(&mut self.unsettled);
        if !changed.is_empty() {
            self.hear(generation);
            changed.append(&mut self.unsettled);
            changed.retain(|path| !self.watching.is_written(path));
        }
        changed
    }

    /// Whether a change is noticed that none was before.
    fn notice(&mut self, generation: u64, now: Instant) -> bool {
        self.hear(generation);
        let is_stirred = self.watching.is_stirred(now);
        if let Some(settling) = &mut self.settling {
            if is_stirred {
                settling.latest = now;
            }
            return false;
        }
        if self.watching.is_plan_old() {
            self.follow_at.get_or_insert(now + FOLLOW_INTERVAL);
        }
        let is_due = self.follow_at.is_some_and(|at| now >= at);
        let changed = if is_stirred || is_due { self.look(now) } else { Vec::new() };
        let changed = self.of_developer(changed, generation);
        if changed.is_empty() {
            return false;
        }
        self.settling = Some(Settling { changed, began: now, latest: now });
        true
    }

    fn look(&mut self, now: Instant) -> Vec<PathBuf> {
        self.follow_at = None;
        self.watching.look(now)
    }

    /// What has changed, in a few words, once all of it is written.
    fn take_settled(&mut self, generation: u64, now: Instant) -> Option<String> {
        self.settling.as_ref().filter(|settling| now >= settling.ends())?;
        let more = self.look(now);
        let mut more = self.of_developer(more, generation);
        let settling = self.settling.as_mut()?;
        if !more.is_empty() && now < settling.began + SETTLE_MAX {
            settling.latest = now;
            settling.changed.append(&mut more);
            return None;
        }
        let mut changed = self.settling.take()?.changed;
        changed.append(&mut more);
        let first = self.watching.name_of(changed.first()?);
        changed.sort();
        changed.dedup();
        Some(match changed.len() - 1 {
            0 => format!("{first} changed"),
            1 => format!("{first} and another file changed"),
            others => format!("{first} and {others} other files changed"),
        })
    }
}

impl Master {
    pub(super) fn keep_developing(&mut self, now: Instant) {
        let (generation, is_serving) = (self.replacing.generation(), self.is_serving());
        let Some(developing) = &mut self.developing else { return };
        let is_new = developing.notice(generation, now);
        if !is_serving {
            developing.settling = None;
            return;
        }
        let settled = developing.take_settled(generation, now);
        if is_new {
            self.order_all_to_leave(now);
        }
        if let Some(what) = settled {
            log::info!("{what}; reloading");
            // The error: the file of --config is wrong while a reload is in progress.
            if let Err(why) = self.begin_reload(&what, now) {
                self.show_failure(why, now);
            }
        }
    }

    /// A reload begins: what serves is of an app that is outdated.
    pub(super) fn outdate(&mut self, now: Instant) {
        let Some(developing) = &mut self.developing else { return };
        developing.failure = None;
        self.order_all_to_leave(now);
    }

    /// A reload has ended, and its workers serve.
    pub(super) fn on_loaded(&mut self) {
        let generation = self.replacing.generation();
        if let Some(developing) = self.developing.as_mut().filter(|developing| developing.failure.is_none()) {
            developing.watching.forget_before(generation);
        }
    }

    /// A worker has died while it loaded the app: the next ones serve what stands in for the app. False: that is not what
    /// happened.
    pub(super) fn on_failed_load(&mut self, child: &Child, line: &str, now: Instant) -> bool {
        let Some(developing) = &mut self.developing else { return false };
        if child.generation != self.replacing.generation() {
            return false;
        }
        if let Some((since, _)) = &developing.failure {
            // Another worker of the same app; or one that was to stand in, which is started again with a back-off.
            let is_apps = child.started <= *since;
            if is_apps {
                self.children.open(now);
            }
            return is_apps;
        }
        // Reports that came with its last words.
        developing.hear(child.generation);
        let text = child.boot_error.as_deref().map(String::from_utf8_lossy);
        let text = match &text {
            Some(text) => text.strip_prefix(NOT_BUILT).unwrap_or(text).to_string(),
            None => format!("{} ended its process while it was loaded: {line}", self.about.name),
        };
        if self.replacing.is_reloading() {
            self.abandon_reload(&text);
        } else {
            log::error!("{} could not be loaded; clients are shown why: {}", self.about.name, indented(&text));
        }
        self.show_failure(text, now);
        true
    }

    /// Starts workers that serve what stands in for the app; only with `--reload`.
    pub(super) fn show_failure(&mut self, text: String, now: Instant) {
        let Some(developing) = &mut self.developing else { return };
        developing.failure = Some((now, LoadFailure { text, code: developing.watching.code() }));
        self.children.open(now);
    }
}
