//! A region made through the API of an AWS-compatible server, pulled, and compared with what boto3 reads from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use kubereach::facts::{self, aws::EksRequest};
use serde_json::Value;

use crate::same::differences;

/// A case that needs the server.
pub(crate) type Test = fn() -> Result<(), String>;

pub(crate) const TRIALS: &[(&str, Test)] =
    &[("moto_every_document_is_what_the_command_line_prints", every_document_is_what_the_command_line_prints)];

/// The Python that has moto, or why there is none.
pub(crate) fn python() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("."));
    let python = target.join("moto/bin/python");
    if python.exists() { Ok(python) } else { Err("needs moto: tests/run installs it".to_owned()) }
}

fn every_document_is_what_the_command_line_prints() -> Result<(), String> {
    let _among_others = crate::recorded::MACHINE.read();
    let server = Server::start()?;
    world(&["seed", &server.url])?;
    let home = tempfile::tempdir().unwrap();
    let expected = home.path().join("expected");
    world(&["read", &server.url, expected.to_str().unwrap()])?;

    let request = EksRequest {
        name: "prod".to_owned(),
        region: Some("eu-west-1".to_owned()),
        profile: None,
        endpoint_url: Some(server.url.clone()),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pull = || runtime.block_on(facts::aws::pull(&request, drop)).map_err(|error| error.to_string());
    let folder = home.path().join("facts");
    facts::write::write(&pull()?, &folder).map_err(|errors| errors.to_string())?;

    // What this server does not know. Everything else must be there.
    let manifest: facts::Manifest =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let failed: Vec<&str> = manifest.failed.iter().map(|refused| refused.action.as_str()).collect();
    let lacking = ["ec2:DescribeVpcBlockPublicAccessOptions", "eks:ListCertificateAuthorities", "eks:ListUpdates"];
    assert_eq!((failed.as_slice(), manifest.denied.len()), (&lacking[..], 0));

    let (expected, found) = (documents(&expected), documents(&folder));
    let names = |documents: &BTreeMap<String, Value>| documents.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&expected), names(&found));
    let mut faults = Vec::new();
    let mut values = 0;
    for (path, document) in &expected {
        values += scalars(document);
        faults.extend(differences(document, &found[path]).iter().map(|fault| format!("{path}{fault}")));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(expected.len() > 30 && values > 1_000, "{} documents with {values} values are too few", expected.len());
    println!("provider: {} documents with {values} values are the same as boto3's", expected.len());

    let text: String = found.values().map(ToString::to_string).collect();
    assert!(!text.contains("hunter2"), "a secret got through");

    let first = files(&folder);
    let written = facts::write::write(&pull()?, &folder).map_err(|errors| errors.to_string())?;
    assert_eq!((written.changed, written.removed), (0, 0));
    assert_eq!(files(&folder), first);
    Ok(())
}

/// The server, until this value is dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Result<Self, String> {
        let mut child = command(&["serve"])?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut url = String::new();
        let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut url);
        let server = Self { child, url: url.trim().to_owned() };
        match read {
            Ok(_) if server.url.starts_with("http://127.0.0.1:") => Ok(server),
            _ => Err(format!("moto did not start: {:?}", server.url)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn world(arguments: &[&str]) -> Result<(), String> {
    let output = command(arguments)?.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn command(arguments: &[&str]) -> Result<Command, String> {
    let mut command = Command::new(python()?);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider/world.py")).args(arguments);
    Ok(command)
}

/// Every document below the folder but the manifest.
fn documents(folder: &Path) -> BTreeMap<String, Value> {
    let files = files(folder).into_iter().filter(|(name, _)| name != "manifest.json");
    files.map(|(name, bytes)| (name, serde_json::from_slice(&bytes).unwrap())).collect()
}

pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let below = self::files(&path).into_iter();
            files.extend(below.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    files
}

fn scalars(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.values().map(scalars).sum(),
        Value::Array(items) => items.iter().map(scalars).sum(),
        _ => 1,
    }
}
