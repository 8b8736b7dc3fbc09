//! Ids of Azure resources: paths whose parts are alike in whatever case they are written.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use serde::Deserialize;

/// `/subscriptions/…/resourceGroups/…/providers/Microsoft.Network/virtualNetworks/…`, equal to the same in other case
/// (<https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>).
#[derive(Clone, Default, Deserialize)]
#[serde(from = "Option<String>")]
pub struct ArmId {
    text: String,
    folded: String,
}

impl ArmId {
    /// The id with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        // Names of resource groups may have letters of every script.
        let folded = text.trim_end_matches('/').to_lowercase();
        Self { text, folded }
    }

    /// The id of a resource in a resource group; `None` for anything else, above all for what could lead a request
    /// elsewhere.
    #[must_use]
    pub fn of_resource(text: &str) -> Option<Self> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.len() > LONGEST_ID {
            return None;
        }
        let parts: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let keyword = |index: usize, word: &str| parts.get(index).is_some_and(|part| part.eq_ignore_ascii_case(word));
        let begins = keyword(0, "subscriptions") && keyword(2, "resourceGroups") && keyword(4, "providers");
        // A namespace, then pairs of a type and a name.
        let pairs = parts.len() >= 8 && parts.len().is_multiple_of(2);
        (begins && pairs && parts.iter().all(|part| is_plain(part))).then(|| Self::new(text))
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// In lower case: what identifies it.
    #[must_use]
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Its parts, as written.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').skip(1)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.folded.is_empty()
    }

    /// The last part: the resource's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
    }

    /// The subscription.
    #[must_use]
    pub fn subscription(&self) -> Option<&str> {
        self.after("subscriptions")
    }

    /// The resource group.
    #[must_use]
    pub fn resource_group(&self) -> Option<&str> {
        self.after("resourcegroups")
    }

    /// The name of the resource of this type that the id is of, or is inside: `virtualNetworks` gives that of a subnet's
    /// network.
    #[must_use]
    pub fn name_of(&self, kind: &str) -> Option<&str> {
        self.after(&kind.to_ascii_lowercase())
    }

    /// The resource that it is part of: a subnet's network, a link's zone.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let text = self.text.trim_end_matches('/');
        let (rest, _name) = text.rsplit_once('/')?;
        let (rest, kind) = rest.rsplit_once('/')?;
        // What comes after the provider's name is no part of anything.
        let above = rest.rsplit('/').nth(1)?;
        (!above.eq_ignore_ascii_case("providers") && !kind.is_empty()).then(|| Self::new(rest))
    }

    /// The resource type in lower case: `microsoft.network/virtualnetworks/subnets`.
    #[must_use]
    pub fn kind(&self) -> Option<String> {
        let place = self.folded.rfind("/providers/")?;
        let mut parts = self.folded.get(place + "/providers/".len()..)?.split('/');
        let mut kind = parts.next()?.to_owned();
        let types: Vec<&str> = parts.step_by(2).collect();
        for part in types {
            kind.push('/');
            kind.push_str(part);
        }
        Some(kind)
    }

    /// Whether it is a resource of this type, `Microsoft.Network/virtualNetworks`, and of no type below it.
    #[must_use]
    pub fn is_of(&self, kind: &str) -> bool {
        // Of the first provider: what extends another resource is none of it.
        let mut segments = self.folded.split('/').skip(6);
        let namespace = segments.next();
        let types = segments.step_by(2);
        namespace.into_iter().chain(types).eq(kind.to_ascii_lowercase().split('/'))
    }

    fn after(&self, part: &str) -> Option<&str> {
        let mut parts = self.text.split('/');
        parts.by_ref().find(|one| one.eq_ignore_ascii_case(part))?;
        parts.next().filter(|name| !name.is_empty())
    }
}

impl From<Option<String>> for ArmId {
    fn from(text: Option<String>) -> Self {
        Self::new(text.unwrap_or_default())
    }
}

impl From<&str> for ArmId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl PartialEq for ArmId {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for ArmId {}

impl PartialOrd for ArmId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ArmId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl Hash for ArmId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for ArmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.text)
    }
}

/// Whether a segment is nothing but a name: no step up, nothing that means something in a URL.
pub(in crate::facts) fn is_plain(segment: &str) -> bool {
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
    fn ids_of_resources_are_read_and_compared_without_case() {
        let subnet = ArmId::of_resource(
            "/subscriptions/S/resourcegroups/RG(1)/providers/Microsoft.Network/virtualNetworks/hub/subnets/Nodes/",
        )
        .unwrap();
        assert!(subnet.is_of("Microsoft.Network/virtualNetworks/subnets") && !subnet.is_of("Microsoft.Network/x"));
        assert_eq!(
            (subnet.subscription(), subnet.resource_group(), subnet.name()),
            (Some("S"), Some("RG(1)"), "Nodes")
        );
        let network = subnet.parent().unwrap();
        assert!(network.is_of("microsoft.network/VIRTUALNETWORKS") && !network.is_of("Microsoft.Network"));
        let same = "/Subscriptions/s/resourceGroups/rg(1)/providers/microsoft.network/virtualnetworks/HUB";
        assert_eq!(Some(&network), ArmId::of_resource(same).as_ref());
        assert_eq!(network.parent(), None);
        assert_eq!(network.segments().count(), 8);
    }

    #[test]
    fn what_leads_elsewhere_is_no_id_of_a_resource() {
        let of = |tail: &str| format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network{tail}");
        assert!(ArmId::of_resource(&of("/virtualNetworks/hub")).is_some());
        for tail in
            ["", "/virtualNetworks", "/virtualNetworks/", "/virtualNetworks/..", "/virtualNetworks/a?b", "/v/a b"]
        {
            assert_eq!(ArmId::of_resource(&of(tail)), None, "{tail}");
        }
        for text in ["", "/", "hub", "//evil.example/subscriptions/s", "/subscriptions/s", "https://x/y/z/1/2/3/4/5"] {
            assert_eq!(ArmId::of_resource(text), None, "{text}");
        }
        assert_eq!(ArmId::of_resource(&of(&format!("/virtualNetworks/{}", "a".repeat(LONGEST_ID)))), None);
    }

    #[test]
    fn ids_are_alike_in_whatever_case() {
        let one =
            ArmId::new("/subscriptions/s/resourcegroups/RG/providers/Microsoft.Network/virtualNetworks/hub/subnets/a");
        let other =
            ArmId::new("/subscriptions/S/resourceGroups/rg/providers/microsoft.network/virtualnetworks/HUB/subnets/A/");
        assert_eq!(one, other);
        assert_eq!((one.subscription(), one.resource_group(), one.name()), (Some("s"), Some("RG"), "a"));
        assert_eq!(other.name_of("virtualNetworks"), Some("HUB"));
        assert_eq!(one.kind().as_deref(), Some("microsoft.network/virtualnetworks/subnets"));
        let network = one.parent().unwrap();
        assert_eq!(network.name(), "hub");
        assert_eq!(network.parent(), None);
    }

    #[test]
    fn what_is_no_id_has_no_parts() {
        for text in ["", "/", "system", "//", "/subscriptions", "/providers/", "a/b/c/d"] {
            let id = ArmId::new(text);
            assert_eq!((id.subscription(), id.resource_group()), (None, None), "{text}");
            assert!(id.kind().is_none() || text.starts_with("/providers"), "{text}");
            let _ = (id.parent(), id.name());
        }
    }
}
