//! The agent that is sent to a host which has none: found beside this program, looked at before it is sent.

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

/// A program that runs on the host whatever is installed there.
#[derive(Clone, Debug)]
pub(super) struct AgentBinary {
    pub(super) bytes: Arc<Vec<u8>>,
    /// SHA-256 as 64 lower-case hexadecimal digits.
    pub(super) digest: String,
}

/// The agent for a host of this kind, as `uname -sm` tells it: `Linux x86_64`.
///
/// Folders, or files, are those of the variable [`BINARIES`], else the folder that this program is in.
///
/// # Errors
/// In words: what was looked for and where, and why a file that was found is not used.
pub(super) fn for_platform(platform: &str) -> Result<AgentBinary, String> {
    let folders: Vec<PathBuf> = match std::env::var_os(BINARIES) {
        Some(folders) => std::env::split_paths(&folders).collect(),
        None => std::env::current_exe().ok().and_then(|file| Some(file.parent()?.to_owned())).into_iter().collect(),
    };
    in_folders(platform, &folders)
}

fn in_folders(platform: &str, folders: &[PathBuf]) -> Result<AgentBinary, String> {
    let (system, machine) = platform.split_once(' ').unwrap_or((platform, ""));
    let Some(machine) = MACHINES.iter().find(|known| known.names.contains(&machine)).filter(|_| system == "Linux")
    else {
        return Err("agents can be sent to Linux hosts with an x86_64 or aarch64 processor only".to_owned());
    };
    let named = format!("kubereach-agent-linux-{}", machine.names[0]);
    let mut unfit = Vec::new();
    for name in [named.as_str(), "kubereach-agent"] {
        // Where a file is named, that is the one that is meant.
        let file_of = |place: &PathBuf| if place.is_file() { place.clone() } else { place.join(name) };
        for file in folders.iter().map(file_of) {
            let Ok(metadata) = std::fs::metadata(&file) else { continue };
            let read = if metadata.len() > LARGEST {
                Err(format!("larger than {} MiB", LARGEST >> 20))
            } else {
                std::fs::read(&file).map_err(|error| error.to_string())
            };
            match read.and_then(|bytes| fits(&bytes, machine.elf).map(|()| bytes)) {
                Ok(bytes) => {
                    let digest = sha256(&bytes).ok_or("this build of kubereach computes no digests")?;
                    return Ok(AgentBinary { bytes: Arc::new(bytes), digest });
                }
                Err(reason) => {
                    let told = format!("{} is not used: {reason}", file.display());
                    if !unfit.contains(&told) {
                        unfit.push(told);
                    }
                }
            }
        }
    }
    if !unfit.is_empty() {
        return Err(unfit.join("; "));
    }
    let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(format!("there is no {named} and no kubereach-agent in {} (or set {BINARIES})", places.join(", ")))
}

/// Whether the file is a static program for this processor: <https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html>.
fn fits(bytes: &[u8], machine: u16) -> Result<(), String> {
    let number = |at: usize, length: usize| -> Option<u64> {
        let field = bytes.get(at..at.checked_add(length)?)?;
        Some(field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    // 64 bits, little endian.
    if bytes.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err("it is no 64-bit Linux program".to_owned());
    }
    if number(18, 2) != Some(u64::from(machine)) {
        return Err("it is for another processor".to_owned());
    }
    let headers = || -> Option<Vec<u64>> {
        let (begin, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).map(|index| number(usize::try_from(begin.checked_add(index.checked_mul(size)?)?).ok()?, 4)).collect()
    };
    match headers() {
        None => Err("it is cut off".to_owned()),
        Some(types) if types.contains(&INTERPRETER) => {
            Err("it is not statically linked (deploy/agent/build makes one that is)".to_owned())
        }
        Some(_) => Ok(()),
    }
}

/// SHA-256 as 64 lower-case hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> Option<String> {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let digest = suite.tls13()?.common.hash_provider.hash(bytes);
    Some(digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// The folders to look in, in the form of `PATH`.
pub(super) const BINARIES: &str = "KUBEREACH_AGENT_BINARIES";
const LARGEST: u64 = 64 << 20;
/// Type of the program header that names a dynamic linker.
const INTERPRETER: u64 = 3;

struct Machine {
    /// As `uname -m` tells it; the first is that of file names.
    names: &'static [&'static str],
    /// In the header of a program.
    elf: u16,
}

const MACHINES: &[Machine] =
    &[Machine { names: &["x86_64", "amd64"], elf: 62 }, Machine { names: &["aarch64", "arm64"], elf: 183 }];

#[cfg(test)]
mod tests {
    use super::*;

    /// A program header table with these types, at the end.
    fn program(machine: u16, types: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = u8::try_from(types.len()).unwrap();
        for kind in types {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 52]);
        }
        bytes
    }

    #[test]
    fn only_static_programs_for_the_processor_are_sent() {
        assert_eq!(fits(&program(62, &[1, 2, 1]), 62), Ok(()));
        for (bytes, machine, word) in [
            (program(62, &[1, 3]), 62, "statically"),
            (program(62, &[1]), 183, "another processor"),
            (b"#!/bin/sh".to_vec(), 62, "no 64-bit Linux program"),
            (Vec::new(), 62, "no 64-bit"),
            (program(62, &[1])[..90].to_vec(), 62, ""),
            (program(62, &[1, 1])[..100].to_vec(), 62, "cut off"),
        ] {
            let told = fits(&bytes, machine);
            if !word.is_empty() {
                assert!(told.as_ref().is_err_and(|told| told.contains(word)), "{told:?}");
            }
        }
    }

    #[test]
    fn the_file_for_the_platform_goes_before_the_plain_one() {
        let folder = tempfile::tempdir().unwrap();
        let here = [folder.path().to_owned()];
        let none = in_folders("Linux x86_64", &here).unwrap_err();
        assert!(none.contains("kubereach-agent-linux-x86_64") && none.contains(BINARIES), "{none}");
        std::fs::write(folder.path().join("kubereach-agent"), program(62, &[3])).unwrap();
        assert!(in_folders("Linux amd64", &here).unwrap_err().contains("statically"));
        std::fs::write(folder.path().join("kubereach-agent-linux-x86_64"), program(62, &[1])).unwrap();
        let found = in_folders("Linux x86_64", &here).unwrap();
        assert_eq!(found.digest, sha256(&program(62, &[1])).unwrap());
        // The file itself may be named, whatever its name.
        let file = folder.path().join("agent-of-ours");
        std::fs::write(&file, program(183, &[1])).unwrap();
        assert!(in_folders("Linux arm64", std::slice::from_ref(&file)).is_ok());
        let told = in_folders("Linux x86_64", &[file]).unwrap_err();
        assert_eq!(told.matches("is not used").count(), 1, "{told}");
        assert!(in_folders("Linux arm64", &here).unwrap_err().contains("another processor"));
        assert!(in_folders("Darwin arm64", &here).unwrap_err().contains("Linux hosts"));
        assert!(in_folders("", &here).is_err());
    }

    #[test]
    fn the_digest_is_the_one_everybody_computes() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b"").as_deref(), Some(empty));
    }

    #[test]
    fn any_bytes_are_looked_at_without_harm() {
        let whole = program(62, &[1, 3]);
        for end in 0..whole.len() {
            let _ = fits(&whole[..end], 62);
        }
        let mut wild = whole;
        wild[32..40].fill(0xff);
        wild[54..58].fill(0xff);
        assert!(fits(&wild, 62).is_err());
    }
}
