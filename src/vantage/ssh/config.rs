//! The OpenSSH client configuration that probing uses: a few lines of ours, then the user's own.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Once,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A file in a private folder, there as long as this value. It is a file, not options of the command, because
/// `ProxyJump` hands only the file on to the client of the jump host.
#[derive(Debug)]
pub(super) struct ClientConfig {
    folder: PathBuf,
    pub(super) file: PathBuf,
    /// Locked as long as this process lives, however it ends: what is not locked may be swept.
    lock: Option<File>,
}

impl ClientConfig {
    /// `own` stands in for the user's and the system's files.
    pub(super) fn write(own: Option<&Path>) -> io::Result<Self> {
        static SWEPT: Once = Once::new();
        // OpenSSH takes a relative path for one below ~/.ssh.
        let own = own.map(std::path::absolute).transpose()?;
        let folder = private_folder()?;
        SWEPT.call_once(|| sweep(&folder));
        let mut config = Self { file: folder.join(FILE), folder, lock: None };
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&config.file)?;
        // Where the file system knows no locks, the process itself is what a sweep goes by.
        let _ = file.try_lock();
        file.write_all(text(own.as_deref()).as_bytes())?;
        config.lock = Some(file);
        Ok(config)
    }
}

impl Drop for ClientConfig {
    fn drop(&mut self) {
        // A folder that cannot be removed holds no secret and is left to the system's own cleaning.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The first value of each option counts, so ours stand first and hold for every host on the way.
fn text(own: Option<&Path>) -> String {
    let mut text = OURS.to_owned();
    match own {
        Some(file) => {
            let _ = writeln!(text, "Include \"{}\"", file.display());
        }
        None => text.push_str("Include ~/.ssh/config\nInclude /etc/ssh/ssh_config\n"),
    }
    // Names that the files before have listed are taken back: no variable of this environment goes out.
    text.push_str("Match all\nSendEnv -*\n");
    text
}

/// A folder of our own that nobody else can have prepared. Its path goes through a shell when there is a jump host.
fn private_folder() -> io::Result<PathBuf> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    let temporary = std::env::temp_dir();
    let parent = temporary.to_str().filter(|path| path.chars().all(plain)).unwrap_or("/tmp");
    let unique = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let path = Path::new(parent).join(format!("{PREFIX}{}-{unique}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&path)?;
    Ok(path)
}

/// Removes the folders, beside the one that was just made, of processes of ours that were killed. What cannot be read or
/// removed stays.
fn sweep(own: &Path) {
    let (Some(parent), Ok(ours)) = (own.parent(), fs::symlink_metadata(own)) else { return };
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.take(MOST_ENTRIES).flatten() {
        let folder = entry.path();
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
        // A link is not followed, and what others made is not ours to judge.
        let is_ours = fs::symlink_metadata(&folder).is_ok_and(|seen| seen.is_dir() && seen.uid() == ours.uid());
        if let Some(process) = process
            && is_ours
            && folder != own
            && is_dead(process, &folder)
        {
            let _ = fs::remove_file(folder.join(FILE));
            let _ = fs::remove_dir(&folder);
        }
    }
}

/// Whether the process that made the folder is gone. Its number alone does not tell: where a temporary folder is shared
/// by containers, each of them counts for itself.
fn is_dead(process: u32, folder: &Path) -> bool {
    if Path::new("/proc").join(process.to_string()).exists() {
        return false;
    }
    match File::open(folder.join(FILE)) {
        Ok(file) => file.try_lock().is_ok(),
        // Killed, or still at work, between making the one and the other.
        Err(_) => fs::symlink_metadata(folder)
            .and_then(|seen| seen.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > A_WHILE)),
    }
}

const PREFIX: &str = "kubereach-ssh-";
const FILE: &str = "config";
/// Of the temporary folder.
const MOST_ENTRIES: usize = 100_000;
const A_WHILE: Duration = Duration::from_mins(1);

/// Nobody is there to answer a question, no key of a host is taken on trust, nothing is forwarded, no other program is
/// run, nothing is written down; a connection that died is noticed. See `ssh_config(5)`.
const OURS: &str = "\
IgnoreUnknown SessionType,StdinNull,ForkAfterAuthentication,RemoteCommand
BatchMode yes
StrictHostKeyChecking yes
UpdateHostKeys no
NumberOfPasswordPrompts 0
ConnectTimeout 10
ConnectionAttempts 1
ServerAliveInterval 5
ServerAliveCountMax 3
TCPKeepAlive yes
RequestTTY no
SessionType default
StdinNull no
ForkAfterAuthentication no
RemoteCommand none
ForwardAgent no
ForwardX11 no
ForwardX11Trusted no
ClearAllForwardings yes
GSSAPIDelegateCredentials no
Tunnel no
PermitLocalCommand no
VisualHostKey no
LogLevel ERROR
ControlMaster no
";

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, process::Command};

    use super::*;

    #[test]
    fn folders_of_dead_processes_are_swept_and_no_others() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str, file: bool| {
            let folder = parent.path().join(name);
            fs::create_dir(&folder).unwrap();
            if file {
                fs::write(folder.join(FILE), "x").unwrap();
            }
            folder
        };
        // Beyond the largest number of a process.
        let dead = make("kubereach-ssh-4194999-1", true);
        let locked = make("kubereach-ssh-4194999-2", true);
        let lock = File::open(locked.join(FILE)).unwrap();
        lock.try_lock().unwrap();
        let young = make("kubereach-ssh-4194999-3", false);
        let living = make(&format!("kubereach-ssh-{}-1", std::process::id()), true);
        let more = make("kubereach-ssh-4194999-4", true);
        fs::write(more.join("other"), "x").unwrap();
        let strange = make("kubereach-ssh-x", true);
        let link = parent.path().join("kubereach-ssh-4194999-5");
        std::os::unix::fs::symlink(&strange, &link).unwrap();
        let own = make("kubereach-ssh-4194999-6", true);
        sweep(&own);
        assert!(!dead.exists());
        for kept in [&locked, &young, &living, &more, &strange, &link, &own] {
            assert!(kept.exists(), "{}", kept.display());
        }
        assert!(strange.join(FILE).exists());
        drop(lock);
        sweep(&own);
        assert!(!locked.exists());
    }

    #[test]
    fn our_lines_win_over_the_users_and_the_file_is_private() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join("config");
        let lines = "SendEnv SECRET_*\nHost bastion\n HostName 192.0.2.7\n Port 2200\n StrictHostKeyChecking no\n \
                     ForwardAgent yes\n BatchMode no\n SendEnv MORE\n RemoteCommand id\n LocalForward 1234 h:1\n";
        fs::write(&own, lines).unwrap();
        let config = ClientConfig::write(Some(&own)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&config.folder), mode(&config.file)), (0o700, 0o600));
        let folder = config.folder.clone();
        // Without OpenSSH there is nobody who could read it; tests/run installs it.
        if let Ok(output) = Command::new("ssh").arg("-G").arg("-F").arg(&config.file).args(["--", "bastion"]).output() {
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            for line in [
                "hostname 192.0.2.7",
                "port 2200",
                "batchmode yes",
                "forwardagent no",
                "clearallforwardings yes",
                "connecttimeout 10",
            ] {
                assert!(told.lines().any(|told| told == line), "{line}: {told}");
            }
            let strict = told.lines().find_map(|line| line.strip_prefix("stricthostkeychecking ")).unwrap();
            assert!(matches!(strict, "true" | "yes"), "{strict}");
            assert!(
                !told.contains("SECRET_") && !told.contains("MORE") && !told.contains("remotecommand id"),
                "{told}"
            );
        }
        drop(config);
        assert!(!folder.exists());
    }
}
