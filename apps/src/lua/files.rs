//! The files that an app uses, recorded only with `--reload` and `--debug`: the master watches them for the first, and
//! pages of the second show lines of those that were loaded as code.
//!
//! What Lua loads is known however it is asked to (driver/files.lua). Files that the app reads or writes itself are known if
//! it opens them by Lua's own functions, and matter only below the directories that the app is developed in.

use mlua::{Function, Lua, String};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tine_worker::app::used_files::{FileReports, Stamp, Use};

/// The most paths that a VM remembers; those beyond are neither watched nor shown.
const PATHS_MAX: usize = 20_000;

pub struct UsedFiles {
    reports: FileReports,
    /// The current directory, and those of `--app-dir`.
    roots: Vec<PathBuf>,
    seen: RefCell<HashMap<PathBuf, Use>>,
    has_warned: Cell<bool>,
}

impl UsedFiles {
    pub fn new(app_dirs: &[PathBuf], reports: FileReports) -> UsedFiles {
        let dirs = app_dirs.iter().map(PathBuf::as_path).chain([Path::new(".")]);
        UsedFiles {
            reports,
            roots: dirs.filter_map(|dir| std::path::absolute(dir).ok()).collect(),
            seen: RefCell::default(),
            has_warned: Cell::default(),
        }
    }

    /// The function of the driver: `use_file(path, "code" | "read" | "written")`, called before the file is opened;
    /// returns whether there is such a file.
    pub fn function(self: &Rc<Self>, lua: &Lua) -> mlua::Result<Function> {
        let files = Rc::clone(self);
        lua.create_function(move |_, (path, kind): (String, String)| {
            let kind = Use::from_word(&kind.to_string_lossy()).unwrap_or(Use::Read);
            Ok(files.note(Path::new(OsStr::from_bytes(&path.as_bytes())), kind))
        })
    }

    /// The app's own file, which may be missing, and may be named without its suffix.
    pub fn note_app(&self, path: &Path) {
        if !self.note(path, Use::Code) {
            let mut with_suffix = path.as_os_str().to_owned();
            with_suffix.push(".lua");
            self.note(Path::new(&with_suffix), Use::Code);
        }
    }

    fn note(&self, path: &Path, kind: Use) -> bool {
        let stamp = Stamp::of(path);
        let is_present = stamp != Stamp::Missing;
        // An empty path, or no current directory.
        let Ok(path) = std::path::absolute(path) else { return is_present };
        let is_own = self.roots.iter().any(|root| path.starts_with(root));
        // Of code elsewhere only what exists: modules are searched for in many places.
        let is_found_code = kind == Use::Code && is_present;
        if !is_own && !is_found_code {
            return is_present;
        }
        let mut seen = self.seen.borrow_mut();
        let is_news = match seen.get(&path) {
            None => seen.len() < PATHS_MAX,
            Some(Use::Written) => false,
            Some(known) => *known != kind && kind != Use::Read,
        };
        if is_news {
            seen.insert(path.clone(), kind);
            if !self.reports.send(kind, stamp, &path) && !self.has_warned.replace(true) {
                log::warn!("{} and perhaps other files are not watched: the master does not read", path.display());
            }
        }
        is_present
    }

    /// The files that were loaded as code.
    pub fn code(&self) -> CodeFiles {
        let seen = self.seen.borrow();
        CodeFiles(seen.iter().filter(|(_, kind)| **kind == Use::Code).map(|(path, _)| path.clone()).collect())
    }
}

/// The files whose lines may be shown. An error's text can name any file, as a client may have a say in it.
#[derive(Debug, Clone, Default)]
pub struct CodeFiles(pub Vec<PathBuf>);

impl CodeFiles {
    /// The file that an error calls `name`: as it was loaded, or `...` and its end if that is long.
    pub fn named(&self, name: &str) -> Option<&Path> {
        let is_it: Box<dyn Fn(&PathBuf) -> bool> = match name.strip_prefix("...") {
            Some(end) => Box::new(move |path| path.as_os_str().as_bytes().ends_with(end.as_bytes())),
            None => {
                let named = std::path::absolute(name).ok()?;
                Box::new(move |path| *path == named)
            }
        };
        self.0.iter().find(|path| is_it(path)).map(PathBuf::as_path)
    }
}
