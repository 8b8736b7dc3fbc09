//! The cases of `facts lint`: every file under `scenarios/facts` is one configuration and what is to be said of it.
//!
//! A case is a base with changes. Its facts are written into a folder as the provider's own JSON, the built binary reads
//! them, and its report is judged. Nothing is sent to anybody. See `scenarios/facts/README.md` for the form of a case;
//! `KUBEREACH_LINT_SHOW=1` shows what was said, also when it is right.

#![expect(clippy::print_stdout, reason = "a case may be shown to its reader")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use kubereach::{
    causes,
    report::{Finding, Report, Severity},
};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use serde_json::{Map, Value};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        Trial::test("every_code_of_a_configuration_has_a_case", every_code_has_a_case),
        Trial::test("every_healthy_base_gives_no_error", every_healthy_base_gives_no_error),
    ];
    for file in files("").into_iter().chain(files("base")) {
        let name = file.strip_prefix(folder()).unwrap_or(&file).with_extension("").display().to_string();
        trials.push(Trial::test(name, move || run(&file)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A case as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Name of the base that this case changes.
    base: Option<String>,
    /// File of the facts folder → its JSON, or the change to the base's: see [`patch`].
    #[serde(default)]
    facts: Map<String, Value>,
    /// Settings of `--set`: the case is a plan.
    #[serde(default)]
    set: Vec<String>,
    /// A scenario, whose cluster's intent is compared.
    scenario: Option<Value>,
    /// Codes by severity, each once, in any order; what is not named must not be told.
    #[serde(default)]
    expect: Expect,
    /// Exit status, where it does not follow from the errors.
    exit: Option<i32>,
    /// What stands in some title, sentence, setting or fix.
    #[serde(default)]
    says: Vec<String>,
    /// What stands nowhere.
    #[serde(default)]
    never: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expect {
    errors: BTreeSet<String>,
    warnings: BTreeSet<String>,
    infos: BTreeSet<String>,
}

/// One case: facts on disk, the binary, its report.
fn run(file: &Path) -> Result<(), Failed> {
    let case = load(file)?;
    let place = tempfile::tempdir()?;
    let facts = place.path().join("prod");
    fs::create_dir(&facts)?;
    for (name, document) in &case.facts {
        let path = facts.join(name);
        fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
        fs::write(path, serde_json::to_vec(document)?)?;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
    command.env_clear().args(["facts", "lint", "--facts"]).arg(&facts).args(["-o", "json"]);
    for setting in &case.set {
        command.args(["--set", setting]);
    }
    if let Some(scenario) = &case.scenario {
        let path = place.path().join("scenario.yaml");
        fs::write(&path, serde_json::to_vec(scenario)?)?;
        command.arg(path);
    }
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if std::env::var_os("KUBEREACH_LINT_SHOW").is_some() {
        println!("{said}");
    }
    let report: Report = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("no report: {error}\n{}", String::from_utf8_lossy(&output.stderr)))?;
    let problems = judge(&case, &report, output.status.code());
    if problems.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = report.findings.iter().map(|one| format!("{} {:?}", one.code, one.evidence)).collect();
    Err(format!("{}\ntold:\n{}", problems.join("\n"), told.join("\n")).into())
}

fn judge(case: &Case, report: &Report, status: Option<i32>) -> Vec<String> {
    let mut problems = Vec::new();
    for (severity, expected) in [
        (Severity::Error, &case.expect.errors),
        (Severity::Warning, &case.expect.warnings),
        (Severity::Info, &case.expect.infos),
    ] {
        let told: BTreeSet<String> =
            report.findings.iter().filter(|one| one.severity == severity).map(|one| one.code.clone()).collect();
        if told != *expected {
            problems.push(format!("{}: expected {expected:?}, told {told:?}", severity.label()));
        }
    }
    let expected = case.exit.unwrap_or_else(|| i32::from(!case.expect.errors.is_empty()));
    if status != Some(expected) {
        problems.push(format!("exit status: expected {expected}, got {status:?}"));
    }
    if !report.cells.is_empty() || report.findings.iter().any(|one| one.vantage.is_some() || one.cluster.is_none()) {
        problems.push("a finding of the configuration belongs to a cluster and to no cell".to_owned());
    }
    let texts: Vec<String> = report.findings.iter().map(text).collect();
    problems.extend(
        case.says
            .iter()
            .filter(|words| !texts.iter().any(|text| text.contains(*words)))
            .map(|words| format!("nowhere: {words}")),
    );
    problems.extend(
        case.never
            .iter()
            .filter(|words| texts.iter().any(|text| text.contains(*words)))
            .map(|words| format!("said: {words}")),
    );
    for finding in &report.findings {
        problems.extend(unsafe_fix(finding));
    }
    problems
}

/// What no fix may do: let everybody in on a list, write an empty list, or leave a placeholder of the catalogue that
/// the facts could fill.
fn unsafe_fix(finding: &Finding) -> Option<String> {
    let fix = finding.fix.as_deref().unwrap_or_default();
    let commands = fix.lines().filter(|line| !line.trim_start().starts_with('#'));
    for line in commands {
        let opens = (line.contains("publicAccessCidrs") || line.contains("authorize-security-group-ingress"))
            && ["\"0.0.0.0/0\"", "\"::/0\"", "=0.0.0.0/0", "=::/0", "\"publicAccessCidrs\":[]"]
                .iter()
                .any(|text| line.contains(text));
        let ranges = line.split("--api-server-authorized-ip-ranges").nth(1).map(|rest| rest.trim_matches([' ', '\'']));
        let opens = opens
            || ranges.is_some_and(|list| {
                let mixed = list.contains("0.0.0.0/32") && list.contains(',');
                list.is_empty() || list == "\"\"" || list.split(',').any(|entry| entry == "0.0.0.0/0") || mixed
            });
        if opens {
            return Some(format!("{} opens a list: {line}", finding.code));
        }
        // Unquoted, the shell would take it for a redirection.
        let mut quoted = false;
        for character in line.split(" # ").next().unwrap_or_default().chars() {
            match character {
                '\'' => quoted = !quoted,
                '<' if !quoted => return Some(format!("{} leaves an unquoted placeholder: {line}", finding.code)),
                _ => {}
            }
        }
    }
    None
}

fn text(finding: &Finding) -> String {
    let mut lines = vec![finding.title.clone()];
    lines.extend(finding.evidence.iter().cloned());
    lines.extend(finding.setting.clone());
    lines.extend(finding.fix.clone());
    lines.join("\n")
}

/// Whatever a configuration alone can show is shown by some case.
fn every_code_has_a_case() -> Result<(), Failed> {
    let mut told = BTreeSet::new();
    for file in files("").into_iter().chain(files("base")) {
        let Expect { errors, warnings, infos } = load(&file)?.expect;
        told.extend(errors.into_iter().chain(warnings).chain(infos));
    }
    let codes: BTreeSet<String> = causes::configuration_codes().map(str::to_owned).collect();
    let without: Vec<&String> = codes.difference(&told).collect();
    let unknown: Vec<&String> = told.difference(&codes).collect();
    if without.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    Err(format!("without a case: {without:?}; of no configuration: {unknown:?}").into())
}

/// The bases are clusters as they should be: no error, and a warning only for the one that is open on purpose.
fn every_healthy_base_gives_no_error() -> Result<(), Failed> {
    for file in files("base") {
        let expect = load(&file)?.expect;
        let open_on_purpose = file.file_stem().is_some_and(|name| name == "public");
        if !expect.errors.is_empty() || (!expect.warnings.is_empty() && !open_on_purpose) {
            return Err(format!("{} is not healthy", file.display()).into());
        }
    }
    Ok(())
}

/// Reads a case; its facts are those of its base with its own changes.
fn load(file: &Path) -> Result<Case, Failed> {
    let text = fs::read_to_string(file)?;
    let mut case: Case = serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    if let Some(base) = &case.base {
        let base = load(&folder().join("base").join(base).with_extension("yaml"))?;
        let changed = patch(Value::Object(base.facts), Value::Object(std::mem::take(&mut case.facts)))
            .map_err(|problem| format!("{}: {problem}", file.display()))?;
        if let Value::Object(facts) = changed {
            case.facts = facts;
        }
    }
    Ok(case)
}

/// A JSON merge patch (RFC 7396), in which an object also changes a list: its keys are ids of the list's items.
fn patch(target: Value, change: Value) -> Result<Value, String> {
    match (target, change) {
        (Value::Array(mut items), Value::Object(changes)) => {
            for (id, change) in changes {
                let of_id = |item: &Value| item.as_object().and_then(id_of).is_some_and(|(_, known)| known == id);
                let place = items.iter().position(of_id);
                match (place, change) {
                    (Some(place), Value::Null) => {
                        items.remove(place);
                    }
                    (Some(place), change) => items[place] = patch(items[place].take(), change)?,
                    (None, Value::Object(mut new)) => {
                        let name = items.first().and_then(Value::as_object).and_then(id_of).map(|(name, _)| name);
                        new.insert(name.ok_or("a list without items has no ids")?, Value::String(id));
                        items.push(Value::Object(new));
                    }
                    (None, _) => return Err(format!("no item is called {id}")),
                }
            }
            Ok(Value::Array(items))
        }
        (target, Value::Object(changes)) => {
            let mut object = if let Value::Object(object) = target { object } else { Map::new() };
            for (key, change) in changes {
                if change.is_null() {
                    object.remove(&key);
                } else {
                    let before = object.remove(&key).unwrap_or(Value::Null);
                    object.insert(key, patch(before, change)?);
                }
            }
            Ok(Value::Object(object))
        }
        (_, change) => Ok(change),
    }
}

/// The member that is an item's own id: the first of those that EC2 lists have.
fn id_of(item: &Map<String, Value>) -> Option<(String, String)> {
    let ids: BTreeMap<&str, &str> =
        item.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
    OWN_IDS.iter().find_map(|name| Some(((*name).to_owned(), (*ids.get(name)?).to_owned())))
}

/// The files of one folder of cases, by name.
fn files(below: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder().join(below))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/facts")
}

/// Own ids of the lists' items, before the ids of what an item belongs to.
const OWN_IDS: &[&str] = &[
    "VpcPeeringConnectionId",
    "TransitGatewayAttachmentId",
    "VpcEndpointId",
    "NatGatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "RouteTableId",
    "NetworkAclId",
    "GroupId",
    "SubnetId",
    "VpcId",
    "DhcpOptionsId",
    "name",
];
