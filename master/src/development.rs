//! `--reload`, the developer's mode: what is watched, and what is served while the application cannot be loaded.

use crate::watching::Pattern;
use std::path::PathBuf;
use std::rc::Rc;
use tine_worker::app::App;

/// What `--reload` and its options ask for.
pub struct Development {
    /// Directories whose files are watched, too, with those below them.
    pub dirs: Vec<PathBuf>,
    /// Which of their files; all if there are none.
    pub include: Vec<Pattern>,
    /// Files and directories that are not watched.
    pub exclude: Vec<Pattern>,
    /// The files are looked at once a second, instead of being reported by the kernel.
    pub polls: bool,
    /// Files of the server itself, such as that of `--config`.
    pub files: Vec<PathBuf>,
    /// Clients see errors of the app, and lines of its code.
    pub shows_errors: bool,
    pub stand_in: StandIn,
}

/// Builds, in a worker, what is served in place of an application that cannot be loaded.
pub type StandIn = Rc<dyn Fn(&LoadFailure) -> Box<dyn App>>;

/// Why an application could not be loaded.
#[derive(Debug, Clone)]
pub struct LoadFailure {
    /// The application's own message, and its traceback if there is one; or what became of its process.
    pub text: String,
    /// The files of code that were loaded or looked for; absolute.
    pub code: Vec<PathBuf>,
}
