//! YAML (and so JSON) as a tree that knows where each node stands, built within fixed budgets.

use std::{collections::HashMap, rc::Rc};

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Tag};

use super::{InputError, Source, quoted};

/// A node and where it begins, line and column from 1. A node that came by an alias stands where its anchor does.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) kind: Kind,
    /// Line and column, from 1.
    pub(crate) position: (usize, usize),
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// Text as written. `plain` means without quotes: a number or a boolean may be meant.
    Scalar {
        /// The text after unescaping.
        text: Rc<str>,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the text; a key that stands twice is there twice.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: Rc<str>,
    /// Line and column of the key.
    pub(crate) position: (usize, usize),
    /// The value.
    pub(crate) value: Node,
}

impl Node {
    /// The kind in words, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Scalar { text, plain: true } => quoted(text),
            Kind::Scalar { text, plain: false } => format!("the text {}", quoted(text)),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The value of a key; the last one where it stands twice.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().rev().find(|entry| &*entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// Whether there is nothing.
    pub(crate) const fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }
}

/// What may be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Nodes, those that aliases repeat included.
    pub(crate) nodes: usize,
    /// Nested collections.
    pub(crate) depth: usize,
    /// What to do about a second document.
    pub(crate) documents: Documents,
}

/// What to do about a second document in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Documents {
    /// It is an error.
    One,
    /// It is not read, as kubectl does.
    First,
}

/// A text as a tree.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The document's root; `None` when there is no document.
    pub(crate) root: Option<Node>,
    /// What is wrong, though a tree could be built: duplicate keys, keys that are no text, unknown tags.
    pub(crate) errors: Vec<InputError>,
}

/// Reads one document. An error is one that makes the rest unreadable.
pub(crate) fn read_tree(source: &Source<'_>, text: &str, limits: Limits) -> Result<Tree, InputError> {
    let mut builder = Builder::new(source, limits);
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = limits.depth + 2;
    options.block_nesting_limit = limits.depth + 2;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let position = (error.marker().line().max(1), error.marker().col() + 1);
            syntax_error(source, text, position, &error.info(), limits)
        })?;
        let position = (span.start.line().max(1), span.start.col() + 1);
        match event {
            Event::DocumentStart(..) => {
                if builder.root.is_some() {
                    match limits.documents {
                        Documents::One => {
                            return Err(source
                                .error(position, "a second document begins here, but one was expected")
                                .help("keep one document a file; remove the `---`"));
                        }
                        Documents::First => break,
                    }
                }
                builder.anchors.clear();
            }
            Event::Scalar(text, style, anchor, tag) => {
                let kind = builder.scalar(&text, style, tag.as_deref(), position);
                builder.count(position)?;
                builder.leaf(Node { kind, position }, anchor, position)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                builder.check_tag(tag.as_deref(), position);
                builder.open(Frame::list(anchor, position))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                builder.check_tag(tag.as_deref(), position);
                builder.open(Frame::map(anchor, position))?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close(position)?,
            Event::Alias(anchor) => builder.alias(anchor, position)?,
            _ => {}
        }
    }
    Ok(Tree { root: builder.root, errors: builder.errors })
}

struct Builder<'a> {
    source: &'a Source<'a>,
    limits: Limits,
    nodes: usize,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Node>,
    errors: Vec<InputError>,
}

/// A finished anchored node, how many nodes it holds and how deep it is.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// A collection that is still open.
struct Frame {
    anchor: usize,
    position: (usize, usize),
    nodes_before: usize,
    /// Depth of the deepest child so far.
    depth: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<Rc<str>, (usize, usize)>, key: Option<PendingKey> },
}

/// A key that waits for its value.
struct PendingKey {
    /// `None` when the key is no text: the value is read and left out.
    key: Option<Rc<str>>,
    position: (usize, usize),
}

impl Frame {
    const fn list(anchor: usize, position: (usize, usize)) -> Self {
        Self { anchor, position, nodes_before: 0, depth: 0, content: Content::List(Vec::new()) }
    }

    fn map(anchor: usize, position: (usize, usize)) -> Self {
        let content = Content::Map { entries: Vec::new(), seen: HashMap::new(), key: None };
        Self { anchor, position, nodes_before: 0, depth: 0, content }
    }
}

impl<'a> Builder<'a> {
    fn new(source: &'a Source<'a>, limits: Limits) -> Self {
        Self { source, limits, nodes: 0, frames: Vec::new(), anchors: HashMap::new(), root: None, errors: Vec::new() }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, position: (usize, usize)) -> Kind {
        self.check_tag(tag, position);
        let forced = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
        let plain = style == ScalarStyle::Plain && !forced;
        if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Kind::Null;
        }
        Kind::Scalar { text: text.into(), plain }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, position: (usize, usize)) {
        if let Some(tag) = tag.filter(|tag| tag.core_suffix().is_none()) {
            let message = format!("the tag {} means nothing here", quoted(&tag.original()));
            self.errors.push(self.source.error(position, message).help("remove the tag"));
        }
    }

    fn count(&mut self, position: (usize, usize)) -> Result<(), InputError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes { Err(self.too_many(position)) } else { Ok(()) }
    }

    fn too_many(&self, position: (usize, usize)) -> InputError {
        let message =
            format!("the file holds more than {} values, those repeated by aliases included", self.limits.nodes);
        self.source.error(position, message)
    }

    fn too_deep(&self, position: (usize, usize)) -> InputError {
        self.source.error(position, too_deep(self.limits))
    }

    fn open(&mut self, mut frame: Frame) -> Result<(), InputError> {
        self.count(frame.position)?;
        if self.frames.len() >= self.limits.depth {
            return Err(self.too_deep(frame.position));
        }
        frame.nodes_before = self.nodes;
        self.frames.push(frame);
        Ok(())
    }

    fn close(&mut self, position: (usize, usize)) -> Result<(), InputError> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let kind = match frame.content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        let node = Node { kind, position: frame.position };
        let depth = frame.depth + 1;
        if frame.anchor != 0 {
            let nodes = self.nodes - frame.nodes_before + 1;
            self.anchors.insert(frame.anchor, Anchored { node: node.clone(), nodes, depth });
            // The copy kept for aliases is memory too.
            self.nodes += nodes;
            self.count(position)?;
        }
        self.place(node, depth);
        Ok(())
    }

    fn leaf(&mut self, node: Node, anchor: usize, position: (usize, usize)) -> Result<(), InputError> {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes: 1, depth: 0 });
            self.count(position)?;
        }
        self.place(node, 0);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, position: (usize, usize)) -> Result<(), InputError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(self.source.error(position, "this alias stands inside the value that it repeats"));
        };
        let (nodes, depth) = (anchored.nodes, anchored.depth);
        if self.nodes + nodes > self.limits.nodes {
            return Err(self.too_many(position));
        }
        if self.frames.len() + depth > self.limits.depth {
            return Err(self.too_deep(position));
        }
        self.nodes += nodes;
        let node = anchored.node.clone();
        self.place(node, depth);
        Ok(())
    }

    /// Puts a finished node where it belongs: the root, a list, a key or a key's value.
    fn place(&mut self, node: Node, depth: usize) {
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return;
        };
        frame.depth = frame.depth.max(depth);
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, seen, key } => match key.take() {
                Some(PendingKey { key: Some(key), position }) => entries.push(Entry { key, position, value: node }),
                Some(PendingKey { key: None, .. }) => {}
                None => {
                    let position = node.position;
                    let text = match node.kind {
                        Kind::Scalar { text, .. } => Some(text),
                        Kind::Null => Some("null".into()),
                        Kind::List(_) | Kind::Map(_) => {
                            let error = self.source.error(position, "this key is a collection, but text was expected");
                            self.errors.push(error.help("quote it if text is meant"));
                            None
                        }
                    };
                    if let Some(text) = &text {
                        if let Some((line, column)) = seen.get(text) {
                            let message = format!("the key {} stands here a second time", quoted(text));
                            let help = format!("it is first at line {line}, column {column}; keep one of them");
                            self.errors.push(self.source.error(position, message).help(help));
                        } else {
                            seen.insert(Rc::clone(text), position);
                        }
                    }
                    *key = Some(PendingKey { key: text, position });
                }
            },
        }
    }
}

fn too_deep(limits: Limits) -> String {
    format!("the file is nested deeper than {} levels", limits.depth)
}

/// The parser's words, with a hint where a frequent mistake is behind them.
fn syntax_error(source: &Source<'_>, text: &str, position: (usize, usize), info: &str, limits: Limits) -> InputError {
    if info.contains("nesting") || info.contains("recursion") {
        return source.error(position, too_deep(limits));
    }
    // The position of an error at the end of the text is one line beyond it.
    let lines = text.lines().count().max(1);
    let position = if position.0 > lines {
        (lines, text.lines().last().map_or(0, |line| line.chars().count()) + 1)
    } else {
        position
    };
    let line = text.lines().nth(position.0 - 1).unwrap_or_default();
    let indent: String = line.chars().take_while(|character| character.is_whitespace()).collect();
    // The parser's words may repeat a piece of the text, which may be a secret.
    let reason =
        if source.hides(line) || source.hides(info) { String::new() } else { format!(": {}", lower_first(info)) };
    let error = source.error(position, format!("this is not valid YAML{reason}"));
    if indent.contains('\t') {
        error.help("YAML does not allow tabs for indentation; use spaces")
    } else if info.contains("unknown anchor") {
        error.help("text that begins with `*` must be quoted")
    } else {
        error
    }
}

fn lower_first(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default().trim_end_matches('.');
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const LIMITS: Limits = Limits { nodes: 1000, depth: 64, documents: Documents::One };

    fn tree(text: &str) -> Result<Tree, InputError> {
        read_tree(&Source::new(Path::new("x.yaml"), text), text, LIMITS)
    }

    #[test]
    fn positions_count_from_one_and_in_characters() {
        let tree = tree("a: 1\nü: { b: [x, ö, z] }\n").unwrap();
        let root = tree.root.unwrap();
        assert_eq!(root.position, (1, 1));
        let list = root.get("ü").unwrap().get("b").unwrap();
        let Kind::List(items) = &list.kind else { panic!("{list:?}") };
        assert_eq!(items.iter().map(|item| item.position).collect::<Vec<_>>(), [(2, 10), (2, 13), (2, 16)]);
    }

    #[test]
    fn duplicate_keys_name_both_places() {
        let tree = tree("a: 1\nb: 2\na: 3\n").unwrap();
        assert_eq!(tree.errors.len(), 1);
        assert_eq!(tree.errors[0].position, Some((3, 1)));
        assert!(tree.errors[0].help.as_deref().unwrap().contains("line 1, column 1"));
    }

    #[test]
    fn json_is_yaml() {
        let tree = tree("{\"a\": [1, \"no\", null, true], \"b\": {\"c\": \"x\\ty\"}}").unwrap();
        assert!(tree.errors.is_empty());
        let text = tree.root.unwrap();
        let Kind::Scalar { text, plain: false } = &text.get("b").unwrap().get("c").unwrap().kind else { panic!() };
        assert_eq!(&**text, "x\ty");
    }

    #[test]
    fn anchors_are_copied_within_the_budget() {
        let tree = tree("a: &x [1, 2]\nb: *x\n").unwrap();
        let Kind::List(items) = tree.root.unwrap().get("b").unwrap().kind.clone() else { panic!() };
        assert_eq!(items.len(), 2);
    }

    #[test]
    fn bombs_are_refused() {
        let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..10 {
            let line = format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "));
            laughs.push_str(&line);
        }
        assert!(tree(&laughs).unwrap_err().message.contains("more than 1000 values"));
        assert!(tree(&"[".repeat(100_000)).unwrap_err().message.contains("deeper than 64"));
        assert!(tree(&"- ".repeat(100_000)).unwrap_err().message.contains("deeper than 64"));
        assert!(tree("a: &x [*x]").unwrap_err().message.contains("inside the value"));
        assert!(tree("a: *x").is_err());
        assert!(tree(&"- a\n".repeat(2000)).unwrap_err().message.contains("more than 1000 values"));
        let deep = format!("a: &x {}{}\nb: {}*x{}\n", "[".repeat(60), "]".repeat(60), "[".repeat(60), "]".repeat(60));
        assert!(tree(&deep).unwrap_err().message.contains("deeper than 64"));
    }

    #[test]
    fn what_cannot_be_read_points_to_its_place() {
        for (text, part) in [
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a:\n\t- b\n", "not valid YAML"),
            ("a: [1, 2\n", "not valid YAML"),
            ("a: \"open\n", "not valid YAML"),
            ("a: b: c\n", "not valid YAML"),
        ] {
            let error = tree(text).unwrap_err();
            assert!(error.message.contains(part), "{text:?}: {error}");
            assert!(error.position.is_some());
        }
        assert!(tree("a:\n\t- b\n").unwrap_err().help.unwrap().contains("tabs"));
        assert!(tree("").unwrap().root.is_none());
        assert!(tree("# only a comment\n").unwrap().root.is_none());
        assert_eq!(tree("a: !mine 1").unwrap().errors.len(), 1);
        assert_eq!(tree("? [a]\n: 1").unwrap().errors.len(), 1);
    }
}
