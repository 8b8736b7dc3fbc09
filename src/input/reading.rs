//! From the positioned tree to values, whatever the file is for: every mistake is noted and the reading goes on.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Entry, InputError, InputErrors, Kind, Limits, Node, Source, closest, listed, parse_duration, quoted, read_tree,
};

/// The root of a file's tree, with the mistakes that the tree itself shows. `what` names the file in messages
/// (`scenario`); `help` says what one that is empty needs.
pub(crate) fn read_root(
    source: &Source<'_>,
    text: &str,
    limits: Limits,
    what: &str,
    help: &str,
) -> Result<(Node, Vec<InputError>), InputErrors> {
    let tree = read_tree(source, text, limits)?;
    match tree.root.filter(|root| !root.is_null()) {
        Some(root) => Ok((root, tree.errors)),
        None => {
            let mut errors = tree.errors;
            errors.push(source.error((1, 1), format!("the {what} is empty")).help(help));
            Err(InputErrors(errors))
        }
    }
}

/// The mistakes in the order of the text; those of files that it names come last, as they were found.
pub(crate) fn in_order(mut errors: Vec<InputError>, file: &Path) -> InputErrors {
    errors.sort_by_key(|error| match error.file.as_deref() == Some(file) {
        true => (false, error.position.unwrap_or_default()),
        false => (true, (0, 0)),
    });
    InputErrors::bounded(errors)
}

/// A mapping whose keys were checked.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    /// The keys with their values, in the order of the text.
    pub(crate) entries: &'a [Entry],
    /// Where it begins.
    pub(crate) position: (usize, usize),
}

impl<'a> Fields<'a> {
    /// The entry of a key; absent too where the value is null.
    pub(crate) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| &*entry.key == key && !entry.value.is_null())
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Where to point for a key: at it, else at the mapping.
    pub(crate) fn place(&self, key: &str) -> (usize, usize) {
        self.entries.iter().find(|entry| &*entry.key == key).map_or(self.position, |entry| entry.position)
    }
}

/// Names with their position, for look-up.
pub(crate) type Names = HashMap<String, usize>;

/// The names of a mapping.
pub(crate) fn names_of(entries: &[Entry]) -> Names {
    let mut names = Names::new();
    for (index, entry) in entries.iter().enumerate() {
        names.entry(entry.key.to_string()).or_insert(index);
    }
    names
}

/// The names in the order of the text.
pub(crate) fn known(names: &Names) -> String {
    let mut sorted: Vec<(&usize, &str)> = names.iter().map(|(name, index)| (index, name.as_str())).collect();
    sorted.sort_unstable();
    listed(sorted.into_iter().map(|(_, name)| name))
}

/// What reads one kind of file, and notes what is wrong with it.
pub(crate) trait Reading {
    /// What the file is, in messages: `scenario`.
    const WHAT: &'static str;

    /// The text.
    fn source(&self) -> &Source<'_>;

    /// What is wrong so far.
    fn errors(&mut self) -> &mut Vec<InputError>;

    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;

    /// The `apiVersion` that every file of ours begins with.
    fn api_version(&mut self, fields: &Fields<'_>) {
        let help = format!("write `apiVersion: {API_VERSION}`");
        match fields.get("apiVersion") {
            None => {
                self.error(fields.place("apiVersion"), format!("the {} lacks its `apiVersion`", Self::WHAT), help);
            }
            Some(node) => {
                if let Some(version) = self.text(node, "`apiVersion`")
                    && version != API_VERSION
                {
                    let message = format!("the apiVersion {} is not known; expected `{API_VERSION}`", quoted(&version));
                    self.error(node.position, message, help);
                }
            }
        }
    }

    /// A mapping with known keys; says which keys are not known.
    fn fields<'b>(&mut self, node: &'b Node, what: &str, keys: &[&str]) -> Option<Fields<'b>> {
        let Kind::Map(entries) = &node.kind else {
            self.mismatch(node, what, &format!("a mapping with {}", listed(keys.iter().copied())));
            return None;
        };
        for entry in entries.iter().filter(|entry| !keys.contains(&&*entry.key)) {
            let mut message = format!("{what} has no key {}", quoted(&entry.key));
            if let Some(similar) = closest(&entry.key, keys.iter().copied()) {
                message = format!("{message}; did you mean `{similar}`?");
            }
            let help = if &*entry.key == "<<" {
                "merge keys are not part of YAML 1.2; write the values out, or repeat a whole value by an alias"
                    .to_owned()
            } else {
                format!("known keys: {}", listed(keys.iter().copied()))
            };
            self.error(entry.position, message, help);
        }
        Some(Fields { entries, position: node.position })
    }

    /// The entries of a mapping from names, which must not be empty.
    fn named<'b>(&mut self, fields: &Fields<'b>, key: &str, what: &str, example: &str) -> &'b [Entry] {
        let Some(entry) = fields.entry(key) else {
            let there = fields.entries.iter().any(|entry| &*entry.key == key);
            let state = if there { "empty" } else { "missing" };
            let message = format!("the {} has no {what}: `{key}` is {state}", Self::WHAT);
            self.error(fields.place(key), message, format!("write `{example}`"));
            return &[];
        };
        if let Kind::Map(entries) = &entry.value.kind {
            if entries.is_empty() {
                let message = format!("the {} has no {what}: `{key}` is empty", Self::WHAT);
                self.error(entry.position, message, format!("write `{example}`"));
            }
            for entry in entries {
                if entry.key.trim().is_empty() || entry.key.contains(char::is_control) {
                    self.error(
                        entry.position,
                        format!("the name of a {what} is empty or holds control characters"),
                        "choose another name",
                    );
                }
            }
            entries
        } else {
            self.mismatch(&entry.value, &format!("`{key}`"), "a mapping from names");
            &[]
        }
    }

    /// The items of a list; nothing is an empty one.
    fn items<'b>(&mut self, node: &'b Node, what: &str) -> Vec<&'b Node> {
        match &node.kind {
            Kind::List(items) => items.iter().collect(),
            Kind::Null => Vec::new(),
            _ => {
                self.mismatch(node, what, "a list");
                Vec::new()
            }
        }
    }

    /// The items of a list of URLs; one that stands alone is not repeated.
    fn urls<'b>(&mut self, node: &'b Node, what: &str, help: &str) -> Vec<&'b Node> {
        if matches!(node.kind, Kind::Scalar { .. }) {
            self.error_of_secret(node, format!("{what} must be a list, but a text stands here"), help);
            return Vec::new();
        }
        self.items(node, what)
    }

    /// Text; a plain scalar is taken as it is written, whatever it looks like: `name: no` is the name `no`.
    fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        if let Kind::Scalar { text, .. } = &node.kind {
            Some(text.trim().to_owned())
        } else {
            self.mismatch(node, what, "text");
            None
        }
    }

    /// Texts by name, such as labels; `what` is each text.
    fn texts(&mut self, node: &Node, key: &str, what: &str) -> Vec<(String, String)> {
        let Kind::Map(entries) = &node.kind else {
            self.mismatch(node, &format!("`{key}`"), &format!("a mapping from {what} to its value"));
            return Vec::new();
        };
        entries.iter().filter_map(|entry| Some((entry.key.to_string(), self.text(&entry.value, what)?))).collect()
    }

    /// `true` or `false`, without quotes.
    fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.kind {
            Kind::Scalar { text, plain: true } if matches!(&**text, "true" | "True" | "TRUE") => Some(true),
            Kind::Scalar { text, plain: true } if matches!(&**text, "false" | "False" | "FALSE") => Some(false),
            _ => {
                self.mismatch(node, what, "`true` or `false`");
                None
            }
        }
    }

    /// A whole number, without quotes.
    fn number(&mut self, node: &Node, what: &str, range: RangeInclusive<u32>, help: &str) -> Option<u32> {
        let number = match &node.kind {
            Kind::Scalar { text, plain: true } => text.parse::<u32>().ok().filter(|number| range.contains(number)),
            _ => None,
        };
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let message =
                format!("{what} must be a number from {least} to {most}, but {} stands here", node.describe());
            self.error(node.position, message, help);
        }
        number
    }

    /// A duration as the command line takes it.
    fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        self.duration_by(node, what, parse_duration)
    }

    /// A duration, as `parse` takes it.
    fn duration_by(
        &mut self,
        node: &Node,
        what: &str,
        parse: impl FnOnce(&str) -> Result<Duration, String>,
    ) -> Option<Duration> {
        let text = self.text(node, what)?;
        parse(&text)
            .map_err(|message| {
                let error = self.source().error(node.position, format!("{what}: {message}"));
                self.errors().push(error);
            })
            .ok()
    }

    /// The path of a file or folder, resolved.
    fn path(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        let text = self.text(node, what)?;
        if text.is_empty() || text.contains('\0') {
            self.error(node.position, format!("{what} is not a path"), "name a file or folder");
            return None;
        }
        Some(self.resolved(&text))
    }

    /// A path against the folder of the file, with `~/` expanded.
    fn resolved(&self, text: &str) -> PathBuf {
        let home = text.strip_prefix("~/").and_then(|rest| {
            self.variable("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(rest))
        });
        home.unwrap_or_else(|| self.source().file.parent().unwrap_or_else(|| Path::new("")).join(text))
    }

    /// The text of a key that must be there; `what` is the mapping.
    fn required(&mut self, fields: &Fields<'_>, key: &str, what: &str) -> Option<String> {
        match fields.get(key) {
            None => {
                self.lacks(fields, key, what);
                None
            }
            Some(node) => {
                let text = self.text(node, &format!("`{key}`"))?;
                if text.is_empty() {
                    self.error(
                        node.position,
                        format!("`{key}` of {what} is empty"),
                        format!("give {what} its `{key}`"),
                    );
                }
                Some(text)
            }
        }
    }

    /// The text of a key that may be there.
    fn optional(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        fields.get(key).and_then(|node| self.text(node, &format!("`{key}`")))
    }

    /// The index of a name that must exist.
    fn reference(&mut self, node: &Node, what: &str, names: &Names) -> Option<usize> {
        let name = self.text(node, &format!("the name of a {what}"))?;
        let index = names.get(&name).copied();
        if index.is_none() {
            let mut message = format!("there is no {what} {}", quoted(&name));
            if let Some(similar) = closest(&name, names.keys().map(String::as_str)) {
                message = format!("{message}; did you mean {}?", quoted(similar));
            }
            self.error(node.position, message, format!("known {what}s: {}", known(names)));
        }
        index
    }

    /// Takes over what is wrong with a file that is named here.
    fn absorb(&mut self, node: &Node, InputErrors(errors): InputErrors) {
        let note = format!("named at line {} of {}", node.position.0, self.source().file.display());
        self.errors().extend(errors.into_iter().map(|mut error| {
            error.help = Some(error.help.map_or_else(|| note.clone(), |help| format!("{help} ({note})")));
            error
        }));
    }

    /// Notes that a key is missing.
    fn lacks(&mut self, fields: &Fields<'_>, key: &str, what: &str) {
        self.error(fields.position, format!("{what} lacks its `{key}`"), format!("add `{key}: …`"));
    }

    /// Notes that something of another kind stands here.
    fn mismatch(&mut self, node: &Node, what: &str, expected: &str) {
        let found = match &node.kind {
            Kind::Scalar { text, .. } if self.source().hides(text) => "a text".to_owned(),
            _ => node.describe(),
        };
        let error = self.source().error(node.position, format!("{what} must be {expected}, but {found} stands here"));
        self.errors().push(error);
    }

    /// Notes a mistake.
    fn error(&mut self, position: (usize, usize), message: impl Into<String>, help: impl Into<String>) {
        let error = self.source().error(position, message).help(help);
        self.errors().push(error);
    }

    /// Notes a mistake in a value of which neither it nor its line is shown: a token or a password may be in it.
    fn error_of_secret(&mut self, node: &Node, message: impl Into<String>, help: impl Into<String>) {
        let error = self.source().error_without_snippet(node.position, message).help(help);
        self.errors().push(error);
    }
}

/// Of every file of ours.
const API_VERSION: &str = "kubereach/v1";
