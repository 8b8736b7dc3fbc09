//! Resource ids: `/subscriptions/…/resourceGroups/…/providers/Microsoft.Network/virtualNetworks/hub`.

use std::cmp::Ordering;

/// The id of a resource, compared without regard to case, as the provider does:
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>.
#[derive(Clone, Debug)]
pub(super) struct Id {
    /// As it was printed, without an empty end.
    text: String,
    /// The same in lower case.
    lower: String,
}

impl Id {
    /// Reads an id of a resource in a resource group; `None` for anything else, above all for what could lead a request
    /// elsewhere.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.len() > LONGEST_ID {
            return None;
        }
        let parts: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let keyword = |index: usize, word: &str| parts.get(index).is_some_and(|part| part.eq_ignore_ascii_case(word));
        let begins = keyword(0, "subscriptions") && keyword(2, "resourceGroups") && keyword(4, "providers");
        // A namespace, then pairs of a type and a name.
        let pairs = parts.len() >= 8 && parts.len().is_multiple_of(2);
        (begins && pairs && parts.iter().all(|part| plain(part)))
            .then(|| Self { text: text.to_owned(), lower: text.to_lowercase() })
    }

    /// In lower case: what identifies it.
    pub(super) fn key(&self) -> &str {
        &self.lower
    }

    /// Its segments, as printed.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').skip(1)
    }

    /// The subscription, in lower case.
    pub(super) fn subscription(&self) -> &str {
        self.lower_segment(1)
    }

    /// The resource group, in lower case.
    pub(super) fn group(&self) -> &str {
        self.lower_segment(3)
    }

    /// Its own name, as printed.
    pub(super) fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it is a resource of this type, `Microsoft.Network/virtualNetworks`, and of no type below it.
    pub(super) fn is_of(&self, kind: &str) -> bool {
        let mut segments = self.lower.split('/').skip(6);
        let namespace = segments.next();
        let types = segments.step_by(2);
        let own = namespace.into_iter().chain(types);
        own.eq(kind.to_ascii_lowercase().split('/'))
    }

    /// The resource it is a part of: a virtual network for a subnet.
    pub(super) fn parent(&self) -> Option<Self> {
        let (rest, _) = self.text.rsplit_once('/')?;
        let (rest, _) = rest.rsplit_once('/')?;
        Self::parse(rest)
    }

    fn lower_segment(&self, index: usize) -> &str {
        self.lower.split('/').nth(index + 1).unwrap_or_default()
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.lower == other.lower
    }
}

impl Eq for Id {}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        self.lower.cmp(&other.lower)
    }
}

/// Whether a segment is nothing but a name: no step up, nothing that means something in a URL.
pub(super) fn plain(segment: &str) -> bool {
    let special = |letter: char| {
        letter.is_control() || letter.is_whitespace() || matches!(letter, '?' | '#' | '%' | '\\' | ':' | '@' | '&')
    };
    !segment.is_empty() && segment != "." && segment != ".." && !segment.contains(special)
}

const LONGEST_ID: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_compared_without_case() {
        let subnet = Id::parse(
            "/subscriptions/S/resourcegroups/RG(1)/providers/Microsoft.Network/virtualNetworks/hub/subnets/Nodes/",
        )
        .unwrap();
        assert!(subnet.is_of("Microsoft.Network/virtualNetworks/subnets") && !subnet.is_of("Microsoft.Network/x"));
        assert_eq!((subnet.subscription(), subnet.group(), subnet.name()), ("s", "rg(1)", "Nodes"));
        let network = subnet.parent().unwrap();
        assert!(network.is_of("microsoft.network/VIRTUALNETWORKS") && !network.is_of("Microsoft.Network"));
        assert_eq!(
            Some(&network),
            Id::parse("/Subscriptions/s/resourceGroups/rg(1)/providers/microsoft.network/virtualnetworks/HUB").as_ref()
        );
        assert_eq!(network.parent(), None);
        assert_eq!(network.segments().count(), 8);
    }

    #[test]
    fn what_leads_elsewhere_is_no_id() {
        let of = |tail: &str| format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network{tail}");
        assert!(Id::parse(&of("/virtualNetworks/hub")).is_some());
        for tail in
            ["", "/virtualNetworks", "/virtualNetworks/", "/virtualNetworks/..", "/virtualNetworks/a?b", "/v/a b"]
        {
            assert_eq!(Id::parse(&of(tail)), None, "{tail}");
        }
        for text in ["", "/", "hub", "//evil.example/subscriptions/s", "/subscriptions/s", "https://x/y/z/1/2/3/4/5"] {
            assert_eq!(Id::parse(text), None, "{text}");
        }
        assert_eq!(Id::parse(&of(&format!("/virtualNetworks/{}", "a".repeat(LONGEST_ID)))), None);
    }
}
