//! Bodies made documents: without secrets, and the same bytes whenever they say the same.

use serde_json::Value;

/// The same content in one order: keys by name, lists of resources by their ids, which the provider promises no order of.
/// Every other list keeps its order. Secrets are left out.
#[must_use]
pub(super) fn tidy(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields
                .into_iter()
                .filter(|(name, _)| !is_secret(name))
                .map(|(name, value)| {
                    let value = if is_proxy(&name) { without_user(value) } else { tidy(value) };
                    (name, value)
                })
                .collect();
            fields.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(tidy).collect();
            if items.iter().all(|item| item["id"].is_string()) {
                items.sort_by_cached_key(|item| {
                    let id = item["id"].as_str().unwrap_or_default();
                    (id.to_lowercase(), item.to_string())
                });
            }
            Value::Array(items)
        }
        Value::String(text) if text.contains("://") => Value::String(without_user_info(&text)),
        scalar => scalar,
    }
}

/// Whether a field of this name holds what nobody may read: pre-shared keys, passwords, authorization keys. The provider
/// leaves most of them out by itself.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_ENDS.iter().any(|end| name.ends_with(end)) || SECRET_NAMES.contains(&name.as_str())
}

/// Fields of `httpProxyConfig` that hold addresses, with or without a scheme.
fn is_proxy(name: &str) -> bool {
    ["httpproxy", "httpsproxy", "noproxy"].contains(&name.to_ascii_lowercase().as_str())
}

fn without_user(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains("://") => Value::String(without_user_info(&text)),
        Value::String(text) => Value::String(text.rsplit('@').next().unwrap_or_default().to_owned()),
        Value::Array(items) => Value::Array(items.into_iter().map(without_user).collect()),
        other => tidy(other),
    }
}

/// Every URL in the text without user and password.
fn without_user_info(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '?', '#', ' ', ',', '"']).unwrap_or(part.len());
        let (authority, rest) = part.split_at(end);
        clean.push_str("://");
        clean.push_str(authority.rsplit('@').next().unwrap_or_default());
        clean.push_str(rest);
    }
    clean
}

const SECRET_ENDS: &[&str] = &["secret", "password", "sharedkey", "presharedkey", "passphrase"];
const SECRET_NAMES: &[&str] = &[
    "authkey",
    "authorizationkey",
    "customdata",
    "userdata",
    "protectedsettings",
    "accesstoken",
    "sastoken",
    "primarykey",
    "workspacekey",
    "secondarykey",
    "accesskey",
    "connectionstring",
    "kubeconfig",
    "kubeconfigs",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_left_out() {
        let body = json!({
            "servicePrincipalProfile": {"clientId": "c", "secret": "hunter2"},
            "windowsProfile": {"adminUsername": "a", "adminPassword": "hunter2"},
            "httpProxyConfig": {"httpProxy": "http://u:hunter2@proxy:3128/", "httpsProxy": "u:hunter2@proxy:3128",
                "noProxy": ["localhost", "http://u:hunter2@x/y@z"], "trustedCa": "LS0t"},
            "vpnClientConfiguration": {"radiusServerSecret": "hunter2",
                "radiusServers": [{"radiusServerAddress": "10.0.0.1", "radiusServerSecret": "hunter2"}]},
            "sharedKey": "hunter2", "authorizationKey": "hunter2",
            "addonProfiles": {"azureKeyvaultSecretsProvider": {"enabled": true, "config": {"enableSecretRotation": "false"}}},
        });
        let clean = tidy(body);
        assert!(!clean.to_string().contains("hunter2"), "{clean}");
        assert_eq!(clean["httpProxyConfig"]["httpProxy"], "http://proxy:3128/");
        assert_eq!(clean["httpProxyConfig"]["httpsProxy"], "proxy:3128");
        assert_eq!(clean["httpProxyConfig"]["noProxy"][1], "http://x/y@z");
        assert_eq!(clean["vpnClientConfiguration"]["radiusServers"][0]["radiusServerAddress"], "10.0.0.1");
        assert_eq!(clean["addonProfiles"]["azureKeyvaultSecretsProvider"]["config"]["enableSecretRotation"], "false");
        assert_eq!(clean["servicePrincipalProfile"], json!({"clientId": "c"}));
    }

    #[test]
    fn resources_are_sorted_and_other_lists_keep_their_order() {
        let body = json!({"value": [{"id": "/B", "dnsServers": ["10.0.0.9", "10.0.0.1"]}, {"id": "/a",
            "subnets": [{"id": "2"}, {"id": "1"}]}], "mixed": [{"id": "2"}, {"name": "1"}]});
        let sorted = tidy(body);
        assert_eq!(sorted["value"][0]["id"], "/a");
        assert_eq!(sorted["value"][0]["subnets"][0]["id"], "1");
        assert_eq!(sorted["value"][1]["dnsServers"][0], "10.0.0.9");
        assert_eq!(sorted["mixed"][0]["id"], "2");
    }
}
