//! The pidfile: written by the master once it serves, removed by the master that wrote it.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

pub struct Pidfile {
    path: PathBuf,
}

impl Pidfile {
    /// Refuses a file that names a running process, other than the one that is taken over from, or that could not be
    /// written; a stale one will be replaced.
    pub fn check(path: &Path, predecessor: Option<Pid>) -> Result<Pidfile, String> {
        let shown = path.display();
        if let Some(pid) = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<i32>().ok())
            && ![Some(Pid::this()), predecessor].contains(&Some(Pid::from_raw(pid)))
            && is_running(pid)
        {
            return Err(format!(
                "--pidfile {shown} names process {pid}, which is running; stop it or give another file"
            ));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(format!(
                "--pidfile {shown}: there is no folder {}; create it or give another file",
                folder.display()
            ));
        }
        if path.is_dir() {
            return Err(format!("--pidfile {shown} is a folder; give a file"));
        }
        // Asked by doing: access(2) knows of permissions, but not of folders like /proc that take no files from anybody.
        let pidfile = Pidfile { path: path.to_path_buf() };
        let beside = pidfile.beside();
        match fs::File::create(&beside).and_then(|_| fs::remove_file(&beside)) {
            // As a master finds it that takes over from one which has become another user: see `give_to`.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && pidfile.open_in_place(false).is_ok() => {}
            Err(e) => {
                let folder = folder.display();
                return Err(format!(
                    "--pidfile {shown}: no file can be written to {folder}: {e}; give one in a folder that you may write to"
                ));
            }
            Ok(()) => {}
        }
        Ok(pidfile)
    }

    /// For who goes on as another user: makes the file, empty, as that user's. In a folder that is not his he can then still
    /// write to it, and empty it at the end.
    pub fn give_to(&self, uid: u32, gid: u32) -> Result<(), String> {
        let beside = self.beside();
        let give = || {
            let _ = fs::remove_file(&beside); // somebody with this process number may have left it
            let file = fs::File::create_new(&beside)?;
            fchown(&file, Some(uid), Some(gid))?;
            // In the place of whatever is there: a link is not followed.
            fs::rename(&beside, &self.path)
        };
        give().map_err(|e: io::Error| {
            let _ = fs::remove_file(&beside); // it may not be there
            format!("--pidfile {} cannot be given to user {uid}, group {gid}: {e}", self.path.display())
        })
    }

    fn open_in_place(&self, truncate: bool) -> io::Result<fs::File> {
        let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
        fs::OpenOptions::new().write(true).truncate(truncate).custom_flags(flags).open(&self.path)
    }

    /// Whole or not at all: written beside and renamed. Where the folder does not let us, in place, in one write.
    pub fn write(&self) -> Result<(), String> {
        let line = format!("{}\n", std::process::id());
        let beside = self.beside();
        let written = fs::File::create(&beside)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .and_then(|()| fs::rename(&beside, &self.path))
            .or_else(|e| match e.kind() {
                io::ErrorKind::PermissionDenied => self.open_in_place(true)?.write_all(line.as_bytes()),
                _ => Err(e),
            });
        written.map_err(|e| {
            let _ = fs::remove_file(&beside); // it may not be there
            format!("--pidfile {} cannot be written: {e}", self.path.display())
        })
    }

    /// Where the file is written before it is renamed: in the same folder, under a name of this process's own.
    fn beside(&self) -> PathBuf {
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        beside.into()
    }

    /// Removes the file, if it still names this process. Where the folder does not let us, an empty one names nobody.
    pub fn remove(&self) {
        if !fs::read_to_string(&self.path).is_ok_and(|text| text.trim() == std::process::id().to_string()) {
            return;
        }
        let removed = fs::remove_file(&self.path).or_else(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => self.open_in_place(true).map(|_| ()),
            _ => Err(e),
        });
        if let Err(e) = removed {
            log::warn!("the pidfile {} cannot be removed: {e}", self.path.display());
        }
    }
}

/// Zero and negative numbers mean groups to kill(2), not a process; a process of somebody else's answers EPERM.
fn is_running(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}
