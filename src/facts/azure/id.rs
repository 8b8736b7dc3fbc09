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
        let folded = text.trim_end_matches('/').to_ascii_lowercase();
        Self { text, folded }
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
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

#[cfg(test)]
mod tests {
    use super::*;

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
