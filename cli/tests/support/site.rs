//! A directory of files, and a server for it.

use super::{Server, scratch_folder};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub struct Site {
    folder: PathBuf,
}

impl Site {
    /// A directory with these files, an hour old.
    pub fn of(files: &[(&str, &[u8])]) -> Site {
        let site = Site { folder: scratch_folder() };
        for (name, bytes) in files {
            site.write(name, bytes);
        }
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The directory as an option's value.
    pub fn text(&self) -> &str {
        self.folder.to_str().expect("UTF-8")
    }

    /// Writes a file that is an hour old, and its directories.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(&path, bytes).expect("a file can be written");
        set_age(&path, Duration::from_secs(3600));
    }

    pub fn age(&self, name: &str, age: Duration) {
        set_age(&self.path(name), age);
    }

    /// A sparse file of this length; each mebibyte begins with its number, as eight bytes.
    pub fn write_sparse(&self, name: &str, mebibytes: u64) {
        let file = File::create(self.path(name)).expect("a file can be made");
        file.set_len(mebibytes << 20).expect("a sparse file");
        for number in 0..mebibytes {
            std::os::unix::fs::FileExt::write_all_at(&file, &number.to_le_bytes(), number << 20).expect("room");
        }
        set_age(&self.path(name), Duration::from_secs(3600));
    }

    /// `tine run --static` of it, with one worker.
    pub fn serve(&self, options: &[&str]) -> Server {
        Server::start(&[&["--workers", "1", "--static", self.text()], options].concat())
    }
}

/// Bytes of [`Site::write_sparse`].
pub fn sparse_bytes(first: u64, last: u64) -> Vec<u8> {
    let byte = |at: u64| {
        let (number, within) = (at >> 20, at & 0xf_ffff);
        if within < 8 { number.to_le_bytes()[within as usize] } else { 0 }
    };
    (first..=last).map(byte).collect()
}

fn set_age(path: &Path, age: Duration) {
    let file = File::open(path).expect("the file is there");
    file.set_modified(SystemTime::now() - age).expect("its time can be set");
}

impl Drop for Site {
    fn drop(&mut self) {
        // What cannot be removed is removed with the build's directory.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
