//! What the documents promise: links that lead somewhere, commands and options that exist, scenarios that parse.

#![expect(clippy::unwrap_used, reason = "a document that cannot be read fails the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn every_relative_link_leads_to_a_file_and_heading() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = read(&document);
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            if !target.exists() {
                broken.push(format!("{}: {link}", document.display()));
            } else if !fragment.is_empty() && !headings(&read(&target)).contains(fragment) {
                broken.push(format!("{}: {link}: no such heading", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_command_and_option_in_the_documents_exists() {
    let commands = words_after_commands(&help(&[]));
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for document in documents().iter().filter(|document| !document.ends_with("docs/causes.md")) {
        for line in read(document).lines() {
            let Some((command, rest)) = kubereach_call(line) else { continue };
            if !commands.contains(&command) {
                wrong.push(format!("{}: no command `{command}`: {line}", document.display()));
                continue;
            }
            // `facts pull eks --name …`: the options are those of the innermost command.
            let mut path = vec![command.as_str()];
            let mut known = help(&path);
            for word in rest.split_whitespace().skip(1) {
                if !words_after_commands(&known).contains(word) {
                    break;
                }
                path.push(word);
                known = help(&path);
            }
            let options = rest.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
            for option in options {
                let option = option.split(['=', '`']).next().unwrap_or_default().trim_end_matches([',', '.', ')']);
                if !known.contains(&format!("{option} ")) && !known.contains(&format!("{option}\n")) {
                    wrong.push(format!("{}: no option `{option}`: {line}", document.display()));
                }
            }
            seen.insert(command);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for told in ["demo", "doctor", "verify", "predict", "trace", "facts", "explain"] {
        assert!(seen.contains(told), "the documents never show `kubereach {told}`");
    }
}

#[test]
fn every_scenario_of_the_documents_parses() {
    let mut found = 0;
    for document in documents() {
        let of_ours = |block: &&str| block.contains("apiVersion: kubereach/v1") && !is_watch(block);
        for block in fenced(&read(&document), "yaml").filter(of_ours) {
            // The file that `ca` names is the reader's own.
            let block: String = block
                .lines()
                .filter(|line| !line.trim_start().starts_with("ca: ./"))
                .fold(String::new(), |text, line| text + line + "\n");
            if let Err(errors) = kubereach::scenario::parse(&block, &document) {
                panic!("{}: {errors:?}\n{block}", document.display());
            }
            found += 1;
        }
    }
    assert!(found >= 2, "the documents show {found} scenarios");
}

#[test]
fn every_configuration_of_a_watch_in_the_documents_fits_its_schema() {
    let validator = jsonschema::validator_for(&kubereach::watch::config::schema()).unwrap();
    let mut found = 0;
    for document in documents() {
        for block in fenced(&read(&document), "yaml").filter(|block| is_watch(block)) {
            let mut value: serde_json::Value = serde_saphyr::from_str(block).unwrap();
            // A part stands for itself.
            value["apiVersion"] = "kubereach/v1".into();
            if value["watch"]["checks"].is_null() {
                value["watch"]["checks"] = serde_json::json!([{ "scenario": "prod.yaml" }]);
            }
            let wrong: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}\n{block}", document.display());
            found += 1;
        }
    }
    assert!(found >= 3, "the documents show {found} configurations");
}

/// Whether a block of YAML is a watch's configuration, or a part of one.
fn is_watch(block: &str) -> bool {
    block.lines().any(|line| line.trim() == "watch:")
}

#[test]
fn every_shipped_scenario_parses() {
    for file in fs::read_dir(root().join("scenarios")).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "yaml") && !file.ends_with("demo.yaml") {
            assert!(kubereach::scenario::load(&file).is_ok(), "{}", file.display());
        }
    }
}

#[test]
fn no_marker_is_left_in_a_document() {
    for document in documents() {
        assert!(!read(&document).contains("@@"), "{} holds a marker to be replaced", document.display());
    }
}

/// The documents of the repository: those at its root, under `docs` and under `scenarios`.
fn documents() -> Vec<PathBuf> {
    let folders = [root(), root().join("docs"), root().join("scenarios/lab")];
    let mut found: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    found.sort();
    assert!(found.len() >= 6, "{found:?}");
    found
}

/// The command and what follows it, where a line of a document calls kubereach.
fn kubereach_call(line: &str) -> Option<(String, String)> {
    let line = &line.replace("cargo run -- ", "kubereach ");
    let line = line.split_once("kubereach ").filter(|(before, _)| {
        let before = before.trim_start_matches(['-', ' ', '$', '>', '`', '|']);
        before.is_empty() || before.ends_with("run: ") || before.ends_with('`')
    })?;
    let rest = line.1.split(['`', '#', '|']).next().unwrap_or_default();
    let command = rest.split_whitespace().next()?;
    let plain = command.chars().all(|character| character.is_ascii_lowercase());
    // `kubereach probes …` begins a sentence of the README, no call.
    let sentence = ["probes", "does", "asks", "says", "never", "takes", "reads", "sends"].contains(&command);
    (plain && !sentence).then(|| (command.to_owned(), rest.to_owned()))
}

fn words_after_commands(help: &str) -> BTreeSet<String> {
    let list = help.split("Commands:").nth(1).unwrap_or_default().split("Options:").next().unwrap();
    list.lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kubereach")).args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The targets of inline links outside of code.
fn links(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code || line.starts_with("    ") {
            continue;
        }
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(targets.map(str::to_owned));
    }
    found
}

/// The anchors of a document's headings, as GitHub makes them.
fn headings(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// The fenced blocks of a language.
fn fenced<'a>(text: &'a str, language: &'a str) -> impl Iterator<Item = &'a str> {
    text.split("```").skip(1).step_by(2).filter_map(move |block| block.strip_prefix(language)?.strip_prefix('\n'))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
