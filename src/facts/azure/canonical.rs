//! One shape of two: the REST API's bodies and what `az` prints of them.

use serde_json::{Map, Value};

/// Lifts `properties` into the resource, and writes every key in camel case, in whichever way it was spelled.
///
/// What stands in the resource itself goes before what stands in its `properties`.
pub(super) fn canonical(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        Value::Object(members) => {
            let mut all = Map::with_capacity(members.len());
            let mut lifted = None;
            for (key, value) in members {
                match canonical(value) {
                    Value::Object(inner) if key == "properties" => lifted = Some(inner),
                    value => {
                        all.insert(camel_case(&key), value);
                    }
                }
            }
            for (key, value) in lifted.into_iter().flatten() {
                all.entry(key).or_insert(value);
            }
            Value::Object(all)
        }
        other => other,
    }
}

/// `authorizedIPRanges`, `AuthorizedIpRanges` → `authorizedIpRanges`; `effectiveOutboundIPs` → `effectiveOutboundIps`.
fn camel_case(key: &str) -> String {
    let letters: Vec<char> = key.chars().collect();
    let mut text = String::with_capacity(key.len());
    for (place, &letter) in letters.iter().enumerate() {
        let after = |steps: usize| letters.get(place + steps).copied();
        let in_a_run = place > 0 && letters.get(place - 1).is_some_and(char::is_ascii_uppercase);
        // The plural of an abbreviation: `IPs` at the end, or before the next word.
        let plural = after(1) == Some('s') && !after(2).is_some_and(|next| next.is_ascii_lowercase());
        let ends_run = after(1).is_some_and(|next| next.is_ascii_lowercase()) && !plural;
        if letter.is_ascii_uppercase() && (place == 0 || (in_a_run && !ends_run)) {
            text.push(letter.to_ascii_lowercase());
        } else {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_spellings_come_to_one() {
        for (written, read) in [
            ("authorizedIPRanges", "authorizedIpRanges"),
            ("authorizedIpRanges", "authorizedIpRanges"),
            ("privateDNSZone", "privateDnsZone"),
            ("privateFQDN", "privateFqdn"),
            ("enablePrivateClusterPublicFQDN", "enablePrivateClusterPublicFqdn"),
            ("azurePortalFQDN", "azurePortalFqdn"),
            ("nodePublicIPPrefixID", "nodePublicIpPrefixId"),
            ("enableNodePublicIP", "enableNodePublicIp"),
            ("effectiveOutboundIPs", "effectiveOutboundIps"),
            ("outboundIPPrefixes", "outboundIpPrefixes"),
            ("publicIPs", "publicIps"),
            ("publicIPAddresses", "publicIpAddresses"),
            ("frontendIPConfigurations", "frontendIpConfigurations"),
            ("nextHopIpAddress", "nextHopIpAddress"),
            ("enableIPForwarding", "enableIpForwarding"),
            ("customDnsConfigs", "customDnsConfigs"),
            ("aRecords", "aRecords"),
            ("ipv4Address", "ipv4Address"),
            ("ID", "id"),
            ("", ""),
        ] {
            assert_eq!(camel_case(written), read);
        }
    }

    #[test]
    fn properties_are_lifted_at_every_level_and_never_overrule() {
        let body = json!({"id": "/x", "type": "outer", "properties": {"type": "inner", "rules": [
            {"name": "a", "properties": {"sourceAddressPrefix": "*"}}]}});
        let printed = json!({"id": "/x", "type": "outer", "rules": [{"name": "a", "sourceAddressPrefix": "*"}]});
        assert_eq!(canonical(body), printed);
        assert_eq!(canonical(json!({"properties": null})), json!({"properties": null}));
    }
}
