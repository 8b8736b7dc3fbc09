//! One process writes a file, by whatever name it was given.
//!
//! Two watches on one history would both probe everything and tell everybody twice. A lock on a file beside the
//! database keeps them apart wherever the file is seen, in other containers, too. Such a file can be removed while it is
//! held: on Linux names that end with the process, and that nobody can remove, stand for the same.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::value::Fault;

/// The right to write a database, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<fs::File>,
    #[cfg(target_os = "linux")]
    _names: Vec<std::os::unix::net::UnixDatagram>,
}

/// Why there is no lock.
#[derive(Debug)]
pub(super) enum Refused {
    /// Somebody else has it.
    Busy,
    /// It cannot be taken here.
    Fault(Fault),
}

impl Lock {
    /// Takes the lock of a database, and makes an empty file where there is none.
    pub(super) fn take(path: &Path) -> Result<Self, Refused> {
        let resolved = resolved(path).map_err(|error| cannot("the file cannot be opened", &error))?;
        let mut beside = resolved.clone().into_os_string();
        beside.push(".lock");
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&beside);
        let file = file.map_err(|error| cannot("its lock cannot be written", &error))?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => Refused::Busy,
            errno => cannot("its lock cannot be taken", &errno.into()),
        })?;
        #[cfg(target_os = "linux")]
        let names = names::bind(&resolved)?;
        Ok(Self {
            _file: file,
            #[cfg(target_os = "linux")]
            _names: names,
        })
    }
}

/// The file that a path leads to, through every link, whether it exists yet or not.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let name: OsString = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
        let here = fs::canonicalize(folder)?.join(name);
        match fs::read_link(&here) {
            Ok(target) => path = here.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return Ok(here),
        }
    }
    Err(io::Error::other("it is a link to itself"))
}

fn cannot(what: &str, error: &io::Error) -> Refused {
    Refused::Fault(Fault::Unavailable(format!("{what}: {error}")))
}

#[cfg(target_os = "linux")]
mod names {
    use std::{
        fs, io,
        os::{
            linux::net::SocketAddrExt as _,
            unix::{ffi::OsStrExt as _, fs::MetadataExt as _, net::SocketAddr, net::UnixDatagram},
        },
        path::Path,
    };

    use super::{Refused, cannot};

    /// Takes a name for the place, which outlives the file there, and one for the file, which may have other names.
    pub(super) fn bind(resolved: &Path) -> Result<Vec<UnixDatagram>, Refused> {
        let open = |error: io::Error| cannot("the file cannot be opened", &error);
        let folder = fs::metadata(resolved.parent().unwrap_or(Path::new("/"))).map_err(open)?;
        // An empty file is an empty database. One that exists is not opened: closing it again would let go of the
        // database's own locks in this process.
        match fs::OpenOptions::new().write(true).create_new(true).open(resolved) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(open(error)),
            _ => {}
        }
        let file = fs::metadata(resolved).map_err(open)?;
        // The path tells apart what only looks alike, as when a number is given to another folder.
        let place = format!("{}-{}-{:016x}", folder.dev(), folder.ino(), fnv(resolved.as_os_str().as_bytes()));
        let file = format!("{}-{}", file.dev(), file.ino());
        let mut bound = Vec::new();
        for name in [format!("place-{place}"), format!("file-{file}")] {
            let address = SocketAddr::from_abstract_name(format!("kubereach-history-{name}")).map_err(open)?;
            match UnixDatagram::bind_addr(&address) {
                Ok(socket) => bound.push(socket),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(Refused::Busy),
                // Where there may be no such names, the lock beside the file is there.
                Err(_) => {}
            }
        }
        Ok(bound)
    }

    /// FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): the same in every version.
    fn fnv(bytes: &[u8]) -> u64 {
        bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }
}

const MOST_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn busy(path: &Path) -> bool {
        match Lock::take(path) {
            Ok(_) => false,
            Err(Refused::Busy) => true,
            Err(Refused::Fault(fault)) => panic!("{fault:?}"),
        }
    }

    #[test]
    fn one_file_has_one_writer_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("below")).unwrap();
        symlink("a.db", path("b.db")).unwrap();
        symlink(path("b.db"), path("below/c.db")).unwrap();
        symlink(folder.path(), path("around")).unwrap();
        // The first takes it by a link that leads nowhere yet.
        let lock = Lock::take(&path("below/c.db")).unwrap();
        for name in ["a.db", "b.db", "below/c.db", "around/a.db", "below/../b.db"] {
            assert!(busy(&path(name)), "{name}");
        }
        assert!(!busy(&path("other.db")) && !path("below/c.db.lock").exists() && path("a.db.lock").exists());
        drop(lock);
        assert!(!busy(&path("b.db")));
        symlink("self.db", path("self.db")).unwrap();
        assert!(matches!(Lock::take(&path("self.db")), Err(Refused::Fault(_))));
        assert!(matches!(Lock::take(&path("nowhere/a.db")), Err(Refused::Fault(_))));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn removing_files_and_other_names_of_them_make_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let lock = Lock::take(&path("a.db")).unwrap();
        fs::hard_link(path("a.db"), path("hard.db")).unwrap();
        assert!(busy(&path("hard.db")));
        fs::remove_file(path("a.db.lock")).unwrap();
        assert!(busy(&path("a.db")));
        fs::remove_file(path("a.db")).unwrap();
        fs::remove_file(path("a.db.lock")).unwrap();
        assert!(busy(&path("a.db")));
        drop(lock);
        assert!(!busy(&path("a.db")));
    }
}
