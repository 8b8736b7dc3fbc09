//! The figures of the static binary that `deploy/agent/build` makes: its size, its memory, what it is made of.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{goes_without, pipe::status_of};

#[test]
fn the_agent_is_one_small_static_file() {
    let name = format!("kubereach-agent-{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |target| root().join(target));
    let file = target.join("agent").join(name);
    if !file.exists() && goes_without("footprint", "what deploy/agent/build makes") {
        return;
    }
    let bytes = fs::read(&file).unwrap();
    assert!(!has_interpreter(&bytes), "it asks for a dynamic linker");
    assert!(bytes.len() <= MAXIMUM_BYTES, "{} bytes", bytes.len());
    let mut agent =
        Command::new(&file).arg("--stdio").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut hello = String::new();
    BufReader::new(agent.stdout.as_mut().unwrap()).read_line(&mut hello).unwrap();
    assert!(hello.contains(env!("CARGO_PKG_VERSION")), "{hello}: is it of this version?");
    std::thread::sleep(Duration::from_millis(300));
    let resident = status_of(agent.id(), "VmRSS");
    agent.kill().unwrap();
    agent.wait().unwrap();
    println!("kubereach-agent: {} bytes, {resident} KiB resident when idle", bytes.len());
    assert!(resident <= MAXIMUM_RESIDENT_KIB, "{resident} KiB");
}

#[test]
fn the_agent_holds_no_cloud() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--package",
            "kubereach-agent",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("kubereach-probes"), "{tree}");
    let clouds: Vec<&str> = tree.lines().filter(|line| CLOUDS.iter().any(|prefix| line.starts_with(prefix))).collect();
    assert!(clouds.is_empty(), "{clouds:?}");
}

/// Whether an ELF file has a program header of type `PT_INTERP` (ELF-64, little-endian: 64 bytes of header, of which
/// `e_phoff` stands at 32, `e_phentsize` at 54, `e_phnum` at 56).
fn has_interpreter(elf: &[u8]) -> bool {
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01", "an ELF-64 file");
    let word = |at: usize| u16::from_le_bytes([elf[at], elf[at + 1]]).into();
    let offset = usize::try_from(u64::from_le_bytes(elf[32..40].try_into().unwrap())).unwrap();
    let (size, count): (usize, usize) = (word(54), word(56));
    (0..count).any(|index| elf[offset + index * size..][..4] == [3, 0, 0, 0])
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

const MAXIMUM_BYTES: usize = 10 << 20;
const MAXIMUM_RESIDENT_KIB: u64 = 20 * 1024;
const CLOUDS: &[&str] =
    &["aws-config", "aws-sdk", "aws-smithy", "aws-runtime", "azure_", "google-", "kube ", "kube-", "reqwest"];
