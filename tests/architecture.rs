//! The arrows of CONTRIBUTING.md, checked against what the sources really use.
//!
//! A room is a module of the crate's root. Test code is excepted: it may reach across the house to compare things.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Room → rooms it may use. `probes` is the crate `kubereach-probes`, `agent` the crate `kubereach-agent`.
const ARROWS: &[(&str, &[&str])] = &[
    ("aws", &["redact"]),
    (
        "cli",
        &[
            "agent", "causes", "check", "client", "demo", "facts", "input", "model", "probes", "report", "scenario",
            "watch",
        ],
    ),
    ("check", &["causes", "client", "facts", "input", "model", "probes", "report", "scenario", "vantage", "verdict"]),
    ("watch", &["check", "input", "probes", "report", "scenario"]),
    ("vantage", &["agent", "aws", "probes", "redact", "scenario"]),
    ("causes", &["client", "facts", "model", "probes", "report", "scenario"]),
    ("model", &["facts", "probes", "report"]),
    ("facts", &["aws", "input", "redact"]),
    ("verdict", &["probes", "report"]),
    ("scenario", &["agent", "client", "input", "probes", "report"]),
    ("client", &["input", "probes", "report"]),
    ("report", &["probes"]),
    ("demo", &[]),
    ("redact", &[]),
    ("input", &[]),
];

/// Rooms that take plain values, the clock among them, and return plain values.
const PURE: &[&str] = &["verdict", "causes", "model", "report"];

/// Files of other rooms that are as pure, and what is below their folders.
const PURE_FILES: &[&str] = &[
    "src/watch/schedule",
    "src/watch/state",
    "src/watch/change",
    "src/watch/record",
    "src/watch/alerts/route",
    "src/watch/runner/ledger/telling",
];

/// What reaches for the world: sockets, files, processes, the environment, the clock, the terminal.
const IMPURE: &[&str] = &[
    "tokio",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "thread_rng",
    "println!",
    "eprintln!",
];

/// What only the files below some paths name: the providers' SDKs, and what asks without one.
const FENCED: &[(&[&str], &[&str])] = &[
    (&["src/aws.rs"], &["aws_config"]),
    (&["src/aws.rs", "src/facts/aws"], &["aws_sdk_eks", "aws_smithy_runtime_api", "aws_smithy_types"]),
    (&["src/facts/aws"], &["aws_sdk_ec2"]),
    (&["src/vantage/ssm"], &["aws_sdk_ssm"]),
    (&["src/facts/arm"], &["azure_core", "azure_identity"]),
    (&["src/facts/arm", "src/watch/alerts"], &["reqwest"]),
    (&["src/watch/store"], &["rusqlite", "tokio_postgres"]),
    (&["src/watch/web"], &["axum", "maud"]),
    (&["src/watch/metrics"], &["prometheus_client"]),
    (&["src/watch/schedule", "src/watch/config"], &["croner"]),
];

/// What the probers know nothing of.
const FOREIGN_TO_PROBES: &[&str] =
    &["kubereach", "clap", "serde_saphyr", "kube", "k8s_openapi", "indicatif", "quick_junit"];

#[test]
fn every_room_is_in_the_table() {
    let rooms: BTreeSet<String> = sources("src").into_iter().filter_map(|source| source.room).collect();
    let table: BTreeSet<String> = ARROWS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms, table);
}

#[test]
fn rooms_use_only_the_rooms_that_their_arrows_point_to() {
    let mut faults = Vec::new();
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in sources("src") {
        let Some(room) = &source.room else { continue };
        let (room, allowed) = ARROWS.iter().find(|(known, _)| known == room).expect("a room of the table");
        for other in source.rooms_used() {
            if other == *room {
                continue;
            }
            if !allowed.contains(&other.as_str()) {
                faults.push(format!("{}: {room} may not use {other}", source.path.display()));
            }
            used.entry(room).or_default().insert(other);
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    // An arrow that nobody goes is taken from the table, so that it stays the truth.
    for (room, allowed) in ARROWS {
        let used = used.remove(room).unwrap_or_default();
        let idle: Vec<_> = allowed.iter().filter(|other| !used.contains(**other)).collect();
        assert!(idle.is_empty(), "{room} no longer uses {idle:?}");
    }
}

#[test]
fn data_flows_one_way() {
    let mut open: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    open.insert("probes", &[]);
    open.insert("agent", &["probes"]);
    // Take away the rooms that use none of those left; a rest that cannot be taken away goes in a circle.
    loop {
        let left: BTreeSet<&str> = open.keys().copied().collect();
        let before = open.len();
        open.retain(|_, others| others.iter().any(|other| left.contains(other)));
        if open.is_empty() {
            return;
        }
        assert!(open.len() < before, "a circle among {:?}", open.keys());
    }
}

#[test]
fn only_vantages_set_probes_going() {
    // The plain types of the probers are capitalised; what acts is a function or a module.
    let mut faults = Vec::new();
    for source in sources("src").iter().filter(|source| source.room.as_deref() != Some("vantage")) {
        let names = names_after(&source.code, "kubereach_probes");
        faults.extend(
            names
                .iter()
                .filter(|name| name.starts_with(|first: char| first.is_ascii_lowercase()))
                // A macro that writes a type's labels; it sets nothing going.
                .filter(|name| *name != "labels")
                .map(|name| format!("{}: kubereach_probes::{name}", source.path.display())),
        );
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn pure_rooms_do_not_reach_for_the_world() {
    let mut faults = Vec::new();
    let sources = sources("src");
    let is_below = |source: &Source, pure: &str| source.path.with_extension("").starts_with(pure);
    for pure in PURE_FILES {
        assert!(sources.iter().any(|source| is_below(source, pure)), "{pure} is not there");
    }
    let is_pure = |source: &Source| {
        source.room.as_deref().is_some_and(|room| PURE.contains(&room))
            || PURE_FILES.iter().any(|pure| is_below(source, pure))
    };
    for source in sources.iter().filter(|source| is_pure(source)) {
        faults.extend(
            IMPURE
                .iter()
                .filter(|word| contains_word(&source.code, word))
                .map(|word| format!("{}: {word}", source.path.display())),
        );
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn only_one_module_names_a_providers_sdk() {
    let sources = sources("src");
    let mut faults = Vec::new();
    for (homes, words) in FENCED {
        for word in *words {
            let users = || sources.iter().filter(|source| contains_word(&source.code, word));
            let at_home = |source: &&Source| {
                source.path.to_str().is_some_and(|path| homes.iter().any(|home| path.starts_with(home)))
            };
            assert!(users().any(|source| at_home(&source)), "nobody names {word} any more");
            faults.extend(
                users().filter(|source| !at_home(source)).map(|source| format!("{}: {word}", source.path.display())),
            );
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn probes_know_nothing_of_us() {
    let mut faults = Vec::new();
    for source in sources("probes/src") {
        faults.extend(
            FOREIGN_TO_PROBES
                .iter()
                .filter(|name| contains_word(&source.code, &format!("{name}::")))
                .map(|name| format!("{}: {name}", source.path.display())),
        );
    }
    let manifest = fs::read_to_string(root().join("probes/Cargo.toml")).unwrap();
    let dependencies = manifest.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    faults.extend(
        dependencies
            .filter(|name| FOREIGN_TO_PROBES.contains(&name.replace('-', "_").as_str()))
            .map(|name| format!("probes/Cargo.toml: {name}")),
    );
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_reader_of_sources_is_no_fool() {
    let code = without_tests(&without_comments_and_text(
        r##"
        use crate::{report::{Cell, Verdict}, scenario};
        // use crate::cli;
        /* crate::demo /* nested */ */
        fn f<'a>(x: &'a str) -> char { let _ = "crate::check"; let _ = r#"crate::input "x" "#; '"' }
        fn g() { crate::causes::all(); super::verdict::read(); }
        #[cfg(test)]
        mod tests { use crate::vantage; fn h() { if true { } } }
        fn last() { crate::client::x() }
        "##,
    ));
    let source = Source { path: PathBuf::from("src/check.rs"), room: Some("check".to_owned()), code };
    let expected = ["causes", "client", "report", "scenario", "verdict"].map(str::to_owned);
    assert_eq!(source.rooms_used(), BTreeSet::from(expected));
    assert!(contains_word("a std::fs::read", "std::fs") && !contains_word("Instantly", "Instant"));
}

/// A source file without its comments, texts and tests.
struct Source {
    path: PathBuf,
    /// The room it belongs to; none for `main.rs` and `lib.rs`.
    room: Option<String>,
    code: String,
}

impl Source {
    /// The rooms named by `crate::…` or by a `super::` that leaves the room, and `probes`.
    fn rooms_used(&self) -> BTreeSet<String> {
        let mut rooms = names_after(&self.code, "crate");
        let depth = self.depth();
        // `super` as often as the file is deep is the crate's root.
        rooms.extend(names_after(&self.code, &vec!["super"; depth].join("::")));
        if contains_word(&self.code, "kubereach_probes") {
            rooms.insert("probes".to_owned());
        }
        if contains_word(&self.code, "kubereach_agent") {
            rooms.insert("agent".to_owned());
        }
        rooms.remove("super");
        rooms.remove("self");
        rooms
    }

    /// How many modules stand between this file's names and the crate's root.
    fn depth(&self) -> usize {
        let below = self.path.strip_prefix("src").unwrap_or(&self.path);
        let folders = below.components().count() - 1;
        folders + usize::from(below.file_name().is_some_and(|name| name != "mod.rs"))
    }
}

/// Every source below a folder of the repository, files that are tests left out.
fn sources(folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    assert!(files.len() > 5, "{folder} holds only {} sources", files.len());
    let mut tests = BTreeSet::new();
    let mut read = Vec::new();
    for file in files {
        let code = without_comments_and_text(&fs::read_to_string(&file).unwrap());
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let own = if matches!(stem, "mod" | "lib" | "main") {
            file.parent().unwrap().to_owned()
        } else {
            file.with_extension("")
        };
        for name in test_files(&code) {
            tests.insert(own.join(&name).with_extension("rs"));
            tests.insert(own.join(name).join("mod.rs"));
        }
        read.push((file, code));
    }
    read.into_iter()
        .filter(|(file, _)| !tests.contains(file))
        .map(|(file, code)| {
            let path = file.strip_prefix(root()).unwrap().to_owned();
            let first = path.strip_prefix(folder).unwrap().components().next().unwrap();
            let name = Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned();
            let room = Some(name).filter(|name| !matches!(name.as_str(), "main" | "lib"));
            Source { path, room, code: without_tests(&code) }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names that follow `prefix::`, one path or a group in braces: `crate::{a::b, c}` gives `a` and `c`.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let wanted = format!("{prefix}::");
    for (index, _) in code.match_indices(&wanted) {
        let before = code[..index].chars().next_back();
        if before.is_some_and(|character| is_word(character) || character == ':') {
            continue;
        }
        let rest = &code[index + wanted.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.extend(first_word(rest));
            continue;
        };
        let mut depth = 1;
        let mut begins = true;
        for (index, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if begins && depth == 1 && is_word(character) {
                names.extend(first_word(&group[index..]));
                begins = false;
            }
            begins |= depth == 1 && character == ',';
        }
    }
    names
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|character| is_word(*character)).collect();
    (!word.is_empty()).then_some(word)
}

fn contains_word(code: &str, word: &str) -> bool {
    let ends_in_word = word.ends_with(is_word);
    code.match_indices(word).any(|(index, _)| {
        let before = code[..index].chars().next_back().is_some_and(is_word);
        let after = code[index + word.len()..].chars().next().is_some_and(is_word);
        !before && (!ends_in_word || !after)
    })
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// The names of `#[cfg(test)] mod name;`.
fn test_files(code: &str) -> Vec<String> {
    code.split("#[cfg(test)]")
        .skip(1)
        .filter_map(|item| {
            let name = item.trim_start().strip_prefix("mod ")?;
            let word = first_word(name)?;
            name[word.len()..].trim_start().starts_with(';').then_some(word)
        })
        .collect()
}

/// Leaves out every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some((before, item)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        let mut depth = 0_usize;
        let end = item.char_indices().find_map(|(index, character)| {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (depth == 0 && matches!(character, '}' | ';')).then_some(index + 1)
        });
        rest = &item[end.unwrap_or(item.len())..];
    }
    kept + rest
}

/// Leaves out comments and the content of strings and characters: only code remains.
fn without_comments_and_text(source: &str) -> String {
    let characters: Vec<char> = source.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let mut code = String::new();
    let mut index = 0;
    while index < characters.len() {
        let character = at(index);
        if character == '/' && at(index + 1) == '/' {
            while index < characters.len() && at(index) != '\n' {
                index += 1;
            }
        } else if character == '/' && at(index + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(index), at(index + 1)) {
                    ('/', '*') => (depth, index) = (depth + 1, index + 2),
                    ('*', '/') => (depth, index) = (depth - 1, index + 2),
                    _ => index += 1,
                }
                if depth == 0 || index >= characters.len() {
                    break;
                }
            }
        } else if character == 'r'
            && (at(index + 1) == '"' || (at(index + 1) == '#' && matches!(at(index + 2), '"' | '#')))
        {
            let hashes = characters[index + 1..].iter().take_while(|character| **character == '#').count();
            index += hashes + 2;
            while index < characters.len()
                && !(at(index) == '"' && (1..=hashes).all(|offset| at(index + offset) == '#'))
            {
                index += 1;
            }
            index += hashes + 1;
            code.push_str("\"\"");
        } else if character == '"' {
            index += 1;
            while index < characters.len() && at(index) != '"' {
                index += if at(index) == '\\' { 2 } else { 1 };
            }
            index += 1;
            code.push_str("\"\"");
        } else if character == '\'' && (at(index + 1) == '\\' || at(index + 2) == '\'') {
            // A character, not a lifetime.
            index += if at(index + 1) == '\\' { 3 } else { 2 };
            while index < characters.len() && at(index) != '\'' {
                index += 1;
            }
            index += 1;
            code.push_str("' '");
        } else {
            code.push(character);
            index += 1;
        }
    }
    code
}
