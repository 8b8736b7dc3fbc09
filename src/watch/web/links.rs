//! Where pages are: stable paths made of names, whatever the names hold.

use crate::watch::record::{CellKey, ClusterKey};

/// The page of a cell.
#[must_use]
pub fn cell_path(key: &CellKey) -> String {
    format!("/cells/{}/{}/{}/{}", segment(&key.check), segment(&key.cluster), segment(&key.vantage), key.target.label())
}

/// The page of a cluster.
#[must_use]
pub fn cluster_path(key: &ClusterKey) -> String {
    format!("/clusters/{}/{}", segment(&key.check), segment(&key.cluster))
}

/// The page of an event.
#[must_use]
pub fn event_path(id: i64) -> String {
    format!("/events/{id}")
}

/// A name as one segment of a path. Browsers take `.` and `..` for directions even when they are percent-encoded, and
/// `.json` at the end asks for JSON: such names get a `~` in front or behind, as do names that have one there.
pub(super) fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    if matches!(name, "" | "." | "..") || name.starts_with('~') {
        segment.push('~');
    }
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push('%');
            for half in [byte >> 4, byte & 15] {
                segment.extend(char::from_digit(u32::from(half), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    if name.ends_with(JSON_ENDING) || (name.len() > 1 && name.ends_with('~')) {
        segment.push('~');
    }
    segment
}

/// The name that a segment, percent-decoded already, stands for.
pub(super) fn name_of(segment: &str) -> &str {
    let name = segment.strip_prefix('~').unwrap_or(segment);
    if name.len() > 1 { name.strip_suffix('~').unwrap_or(name) } else { name }
}

/// A query of these names and values, those without a value left out; with its `?`, or empty.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

const JSON_ENDING: &str = ".json";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CellTarget;

    #[test]
    fn every_name_comes_back_from_its_segment() {
        for name in ["prod", "", ".", "..", "~", "~~", "~a~", "a~", "x.json", "a/b", "%2F", "<script>", "ü 東", "a\n"]
        {
            let segment = segment(name);
            assert!(!matches!(segment.as_str(), "" | "." | "..") && !segment.ends_with(JSON_ENDING), "{segment}");
            assert!(segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)), "{segment}");
            let address = url::Url::parse(&format!("http://localhost/clusters/x/{segment}")).unwrap();
            let last = address.path_segments().unwrap().next_back().unwrap();
            let decoded: String = url::form_urlencoded::parse(last.replace('+', "%2B").as_bytes())
                .map(|(name, _)| name.into_owned())
                .collect();
            assert_eq!(name_of(&decoded), name, "{segment}");
        }
    }

    #[test]
    fn paths_are_stable() {
        let key = CellKey {
            check: "nightly".to_owned(),
            cluster: "a/b".to_owned(),
            vantage: "..".to_owned(),
            target: CellTarget::EksApi,
        };
        assert_eq!(cell_path(&key), "/cells/nightly/a%2Fb/~../eks-api");
        assert_eq!(cluster_path(&key.cluster_key()), "/clusters/nightly/a%2Fb");
        assert_eq!(query([("a", "b c"), ("d", "")]), "?a=b+c");
    }
}
