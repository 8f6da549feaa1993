//! The pidfile: written by the master once it serves, removed by the master that wrote it.
//!
//! It counts for as long as its master holds a lock on it (flock(2)). The lock ends with the master in any case, while the ID
//! of an exited process may soon be that of another process or thread. Workers close their copy of the descriptor at once. A
//! draining server releases the lock, so that the next one may start beside it; the file stays until it exits.

use nix::fcntl::OFlag;
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

pub struct Pidfile {
    path: PathBuf,
    /// The file that this process has written. While it is open here, its inode cannot be reused.
    held: Option<File>,
}

impl Pidfile {
    /// Refuses a file that cannot be written, or whose server is running and is not the predecessor; a stale file will be
    /// replaced.
    pub fn check(path: &Path, predecessor: Option<Pid>) -> Result<Pidfile, String> {
        let shown = path.display();
        if let Some(text) = text_of_live(path)
            && predecessor.is_none_or(|pid| text.trim() != pid.to_string())
        {
            return Err(format!(
                "--pidfile {shown} names process {}, which is running; stop it or give another file",
                text.trim()
            ));
        }
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !directory.is_dir() {
            return Err(format!(
                "--pidfile {shown}: there is no directory {}; create it or give another file",
                directory.display()
            ));
        }
        if path.is_dir() {
            return Err(format!("--pidfile {shown} is a directory; give a file"));
        }
        // Tested by creating a file: access(2) checks permissions, but directories such as /proc take no files at all.
        let pidfile = Pidfile { path: path.to_path_buf(), held: None };
        match pidfile.create_beside().and_then(|_| fs::remove_file(pidfile.beside())) {
            // So does a master find it whose predecessor has changed its user: see `give_to`.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && pidfile.open_in_place().is_ok() => {}
            Err(e) => {
                let directory = directory.display();
                return Err(format!(
                    "--pidfile {shown}: no file can be written to {directory}: {e}; give one in a directory that you may write to"
                ));
            }
            Ok(()) => {}
        }
        Ok(pidfile)
    }

    /// Before a change of user: creates the file empty and owned by that user. The process can then still write to it, and
    /// empty it at the end, in a directory that the user may not write to.
    pub fn give_to(&self, uid: u32, gid: u32) -> Result<(), String> {
        let beside = self.beside();
        let give = || {
            let file = self.create_beside()?;
            fchown(&file, Some(uid), Some(gid))?;
            // Replaces whatever is there: a link is not followed.
            fs::rename(&beside, &self.path)
        };
        give().map_err(|e: io::Error| {
            let _ = fs::remove_file(&beside); // it may not be there
            format!("--pidfile {} cannot be given to user {uid}, group {gid}: {e}", self.path.display())
        })
    }

    /// Atomic: written beside, locked and renamed. If the directory is not writable, in place, with one write.
    pub fn write(&mut self) -> Result<(), String> {
        let written = self.write_beside().or_else(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => self.write_in_place(),
            _ => Err(e),
        });
        match written {
            Ok(file) => {
                self.held = Some(file);
                Ok(())
            }
            Err(e) => {
                let _ = fs::remove_file(self.beside()); // it may not be there
                Err(format!("--pidfile {} cannot be written: {e}", self.path.display()))
            }
        }
    }

    fn write_beside(&self) -> io::Result<File> {
        let mut file = self.create_beside()?;
        self.try_lock(&file);
        file.write_all(own_line().as_bytes())?;
        fs::rename(self.beside(), &self.path)?;
        Ok(file)
    }

    fn write_in_place(&self) -> io::Result<File> {
        let mut file = self.open_in_place()?;
        self.try_lock(&file);
        file.set_len(0)?;
        file.write_all(own_line().as_bytes())?;
        Ok(file)
    }

    /// The server serves, so the file counts. Needed again if the predecessor still had the lock.
    pub fn lock(&self) {
        if let Some(file) = &self.held {
            self.try_lock(file);
        }
    }

    fn try_lock(&self, file: &File) {
        match file.try_lock() {
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            // Not fatal.
            Err(TryLockError::Error(e)) => {
                let shown = self.path.display();
                log::warn!("--pidfile {shown} cannot be locked, so that another server may replace it: {e}");
            }
        }
    }

    /// The server stops: another may start in its place and replace the file.
    pub fn release(&self) {
        if let Some(Err(e)) = self.held.as_ref().map(File::unlock) {
            log::debug!("--pidfile {} cannot be unlocked: {e}", self.path.display());
        }
    }

    /// Another master has taken over and owns the file.
    pub fn hand_over(&mut self) {
        self.held = None;
    }

    /// Removes the file, if it is still this process's. If the directory is not writable, empties it.
    pub fn remove(&mut self) {
        let Some(file) = self.held.take() else { return };
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let is_at_path = match (file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(ours), Ok(found)) => identity(ours) == identity(found),
            _ => false,
        };
        // Another process may have written to it.
        if !is_at_path || !fs::read_to_string(&self.path).is_ok_and(|text| text == own_line()) {
            return;
        }
        let removed = fs::remove_file(&self.path).or_else(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => file.set_len(0),
            _ => Err(e),
        });
        if let Err(e) = removed {
            log::warn!("the pidfile {} cannot be removed: {e}", self.path.display());
        }
    }

    /// Where the file is written before it is renamed: in the same directory, under a name unique to this process.
    fn beside(&self) -> PathBuf {
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        beside.into()
    }

    /// Always a new file: in another user's directory there may be a link of that name to a file that only root may write to.
    fn create_beside(&self) -> io::Result<File> {
        let beside = self.beside();
        match File::create_new(&beside) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&beside)?; // left by a process that had the same ID
                File::create_new(&beside)
            }
            made => made,
        }
    }

    /// The existing file, if it is not a link and has one name only.
    fn open_in_place(&self) -> io::Result<File> {
        let file = open(&self.path, OpenOptions::new().read(true).write(true))?;
        let found = file.metadata()?;
        match found.is_file() && found.nlink() == 1 {
            true => Ok(file),
            false => Err(io::Error::other("it is not a regular file, or has further hard links")),
        }
    }
}

fn own_line() -> String {
    format!("{}\n", std::process::id())
}

/// Does not follow links, and does not block on a FIFO.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path)
}

/// The text of the file, if its server is running.
fn text_of_live(path: &Path) -> Option<String> {
    let file = open(path, OpenOptions::new().read(true)).ok()?;
    // Shared, so that two processes that check do not take each other for a server.
    if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let mut text = String::new();
    // A file that is not text names no process, but is locked all the same.
    let _ = file.take(32).read_to_string(&mut text);
    Some(text)
}
