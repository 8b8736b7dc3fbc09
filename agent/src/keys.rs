//! Names and keys: NATS's own key format (Ed25519), the seed of which never leaves its file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nkeys::{KeyPair, KeyPairType};

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("{doing} the key file {}: {error}", file.display())]
    File {
        /// `cannot read` or `cannot make`.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It holds the other half.
    #[error(
        "the key file {} holds a public key: name the file with its seed (one line that begins with `SU`; `kubereach agent --make-key FILE` made it)",
        .0.display()
    )]
    Public(PathBuf),
    /// Everybody on the host may read it.
    #[error("the key file {file} may be read by everybody on this host (`chmod 600 {file}` mends that)", file = .0.display())]
    Exposed(PathBuf),
    /// There is no seed in it.
    #[error(
        "the key file {} holds no seed of a user key: one line that begins with `SU` was expected (`kubereach agent --make-key FILE` makes one)",
        .0.display()
    )]
    NoSeed(PathBuf),
}

/// Whether this can be an agent's name: 1 to 64 letters, digits, `-` and `_`, so that it is a word of a NATS subject.
#[must_use]
pub fn is_agent_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

/// Whether this is the public key of a user: `U` and 55 more letters, with its checksum.
#[must_use]
pub fn is_public_key(text: &str) -> bool {
    KeyPair::from_public_key(text).is_ok_and(|key| key.key_pair_type() == KeyPairType::User)
}

/// Makes a new key, its seed in a new file that only its owner may read (mode 0600), and gives the key.
///
/// # Errors
/// When the file exists already or cannot be written.
pub fn make(file: &Path) -> Result<KeyPair, KeyError> {
    let failed = |error| KeyError::File { doing: "cannot make", file: file.to_owned(), error };
    let key = KeyPair::new_user();
    let mut text = key.seed().map_err(|error| failed(io::Error::other(error)))?.into_bytes();
    text.push(b'\n');
    let written = write_private(file, &text);
    wipe(&mut text);
    written.map_err(failed)?;
    Ok(key)
}

/// Reads the key whose seed is the file's one line; lines that begin with `#` are passed over.
///
/// # Errors
/// When the file cannot be read, may be read by everybody, or holds no seed of a user key: a public key is named as one,
/// whoever may read it.
pub fn read(file: &Path) -> Result<KeyPair, KeyError> {
    let failed = |error| KeyError::File { doing: "cannot read", file: file.to_owned(), error };
    let opened = File::open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    // Reserved whole, so that no copy of the text is left behind when it grows.
    let mut text = Vec::with_capacity(LONGEST_FILE);
    let read = opened.take(LONGEST_FILE as u64).read_to_end(&mut text).map_err(failed);
    let key = read.map(|_| (seed_of(&text), is_public(&text)));
    wipe(&mut text);
    match key? {
        (_, true) => Err(KeyError::Public(file.to_owned())),
        _ if metadata.mode() & EVERYBODY != 0 => Err(KeyError::Exposed(file.to_owned())),
        (key, _) => key.ok_or_else(|| KeyError::NoSeed(file.to_owned())),
    }
}

/// Reads the key, or makes it when the file is not there.
///
/// # Errors
/// As [`read`] and [`make`].
pub fn read_or_make(file: &Path) -> Result<KeyPair, KeyError> {
    match read(file) {
        Err(KeyError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => make(file),
        read => read,
    }
}

/// Overwrites what must not stay in memory.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(&*bytes);
}

fn seed_of(text: &[u8]) -> Option<KeyPair> {
    let key = KeyPair::from_seed(lone_line(text)?).ok()?;
    (key.key_pair_type() == KeyPairType::User).then_some(key)
}

fn is_public(text: &[u8]) -> bool {
    lone_line(text).is_some_and(is_public_key)
}

/// The one line of a file that is neither empty nor a comment.
fn lone_line(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (line, rest) = (lines.next()?, lines.next());
    rest.is_none().then_some(line)
}

fn write_private(file: &Path, text: &[u8]) -> io::Result<()> {
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    let written = made.write_all(text).and_then(|()| made.sync_all());
    if written.is_err() {
        // Half a seed is worse than none: the next start would stumble over it.
        let _ = fs::remove_file(file);
    }
    written
}

const EVERYBODY: u32 = 0o007;
const LONGEST_FILE: usize = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_read_back_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.nk");
        let made = read_or_make(&file).unwrap();
        assert!(is_public_key(&made.public_key()));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_or_make(&file).unwrap().public_key(), made.public_key());
        assert!(make(&file).unwrap_err().to_string().contains("exists"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        assert!(matches!(read(&file), Err(KeyError::Exposed(_))));
    }

    #[test]
    fn what_is_no_seed_is_said_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let seed = KeyPair::new_user().seed().unwrap();
        for text in [
            String::new(),
            "hunter2".to_owned(),
            KeyPair::new_account().seed().unwrap(),
            format!("{seed}\n{seed}"),
            seed.to_lowercase(),
            "S".repeat(100_000),
        ] {
            let file = folder.path().join("key");
            let _ = fs::remove_file(&file);
            write_private(&file, text.as_bytes()).unwrap();
            let error = read(&file).unwrap_err();
            assert!(matches!(error, KeyError::NoSeed(_)), "{error}");
            assert!(text.is_empty() || !error.to_string().contains(text.trim()), "{error}");
        }
        // One step for a `.pub` file: who may read it is not what is wrong with it.
        let file = folder.path().join("key.pub");
        fs::write(&file, format!("{}\n", KeyPair::new_user().public_key())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(&file).unwrap_err();
        assert!(matches!(error, KeyError::Public(_)) && !error.to_string().contains("chmod"), "{error}");
        let file = folder.path().join("commented");
        write_private(&file, format!("# controller\n\n{seed}\n").as_bytes()).unwrap();
        assert!(read(&file).is_ok());
    }
}
