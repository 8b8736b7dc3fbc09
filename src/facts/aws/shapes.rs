//! From the wire to what the provider's command line prints: XML (EC2) and JSON (EKS) by the table `shapes.json`.
//!
//! The table comes from the models that the command line itself uses (`shapes.py`). What a model does not name, and what
//! it marks as secret, does not get through.

use std::sync::LazyLock;

use jiff::{SignedDuration, SignedDurationRound, Timestamp, Unit};
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Map, Number, Value};

use super::actions::Action;

/// Why an answer could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ShapeError {
    /// It is not of the protocol's form.
    #[error("the answer is not {form}: {message}")]
    Form {
        /// `XML`, `JSON` or `UTF-8`.
        form: &'static str,
        /// The parser's words; they hold none of the answer's text.
        message: String,
    },
    /// It is of the protocol's form, but not the answer to what was asked.
    #[error("an answer that cannot be read: it is not what {0} gives")]
    Other(&'static str),
    /// The table has no such operation.
    #[error("no shape is known for {0}")]
    Unknown(&'static str),
}

/// The document that the command line prints for this answer, its page token included.
pub(super) fn document(action: Action, body: &[u8]) -> Result<Value, ShapeError> {
    let service = &TABLE[action.service()];
    let shape = service["operations"][action.operation()].as_str().ok_or(ShapeError::Unknown(action.operation()))?;
    let shapes = &service["shapes"];
    if action.service() == "eks" {
        let value: Value = serde_json::from_slice(body).map_err(|error| form("JSON", position(&error)))?;
        if !fits(&value, shape, shapes) {
            return Err(ShapeError::Other(action.operation()));
        }
        let said = value.as_object().is_some_and(|fields| !fields.is_empty());
        let document = from_json(value, shape, shapes).unwrap_or_else(|| Value::Object(Map::new()));
        let empty = document.as_object().is_some_and(Map::is_empty);
        // A list may be left out when it is empty, a described object may not.
        if empty && (said || action.operation().starts_with("Describe")) {
            return Err(ShapeError::Other(action.operation()));
        }
        return Ok(document);
    }
    let text = std::str::from_utf8(body).map_err(|error| form("UTF-8", error.to_string()))?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| form("XML", error.pos().to_string()))?;
    let root = document.root_element();
    if root.tag_name().name().strip_suffix("Response") != Some(action.operation()) {
        return Err(ShapeError::Other(action.operation()));
    }
    Ok(from_xml(root, shape, shapes))
}

/// Whether objects and lists are where the shape has them; scalars may be of any kind, as a newer version may have them.
/// The depth is bounded: no shape of the table holds itself.
fn fits(value: &Value, shape: &str, shapes: &Value) -> bool {
    match (&shapes[shape], value) {
        (_, Value::Null) => true,
        (Value::Object(members), Value::Object(fields)) => fields.iter().all(|(name, value)| {
            members.get(name).and_then(member).is_none_or(|(_, shape)| fits(value, shape, shapes))
        }),
        (Value::Array(items), Value::Array(values)) => {
            let shape = items.first().and_then(Value::as_str).unwrap_or_default();
            values.iter().all(|value| fits(value, shape, shapes))
        }
        (Value::Object(_) | Value::Array(_), _) => false,
        (Value::String(kind), value) => (kind == "map") == value.is_object() && !value.is_array(),
        (_, value) => !value.is_object() && !value.is_array(),
    }
}

/// A node by its shape. The depth is bounded: no shape of the table holds itself.
fn from_xml(node: Node<'_, '_>, shape: &str, shapes: &Value) -> Value {
    match &shapes[shape] {
        Value::Object(members) => {
            let mut object = Map::new();
            for child in node.children().filter(Node::is_element) {
                let Some((name, shape)) = members.get(child.tag_name().name()).and_then(member) else { continue };
                object.insert(name.to_owned(), from_xml(child, shape, shapes));
            }
            Value::Object(object)
        }
        Value::Array(items) => {
            let shape = items.first().and_then(Value::as_str).unwrap_or_default();
            node.children().filter(Node::is_element).map(|item| from_xml(item, shape, shapes)).collect()
        }
        scalar => from_text(&text(node), scalar.as_str().unwrap_or_default()),
    }
}

/// A node's own text.
fn text(node: Node<'_, '_>) -> String {
    node.children().filter(Node::is_text).filter_map(|child| child.text()).collect()
}

/// A scalar by its kind; what does not fit stays text, as it came.
fn from_text(text: &str, kind: &str) -> Value {
    let number = match kind {
        "boolean" => return Value::Bool(text.trim() == "true"),
        "integer" => text.trim().parse::<i64>().ok().map(Number::from),
        "float" => text.trim().parse::<f64>().ok().and_then(Number::from_f64),
        "timestamp" => return Value::String(text.trim().parse().map_or_else(|_| text.to_owned(), iso)),
        _ => None,
    };
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// A value by its shape; null is as good as absent.
fn from_json(value: Value, shape: &str, shapes: &Value) -> Option<Value> {
    Some(match (&shapes[shape], value) {
        (_, Value::Null) => return None,
        (Value::Object(members), Value::Object(fields)) => fields
            .into_iter()
            .filter_map(|(name, value)| {
                let (name, shape) = members.get(&name).and_then(member)?;
                Some((name.to_owned(), from_json(value, shape, shapes)?))
            })
            .collect(),
        (Value::Array(items), Value::Array(values)) => {
            let shape = items.first().and_then(Value::as_str).unwrap_or_default();
            values.into_iter().filter_map(|value| from_json(value, shape, shapes)).collect()
        }
        (Value::String(kind), Value::Number(seconds)) if kind == "timestamp" => {
            from_seconds(&seconds).map_or(Value::Number(seconds), |time| Value::String(iso(time)))
        }
        (_, value) => value,
    })
}

/// Seconds since 1970, to the microsecond.
fn from_seconds(seconds: &Number) -> Option<Timestamp> {
    let exact = SignedDuration::try_from_secs_f64(seconds.as_f64()?).ok()?;
    let rounded = exact.round(SignedDurationRound::new().smallest(Unit::Microsecond)).ok()?;
    Timestamp::from_duration(rounded).ok()
}

/// A time as the command line prints it in UTC: `2023-05-05T12:00:00.123000+00:00`.
fn iso(time: Timestamp) -> String {
    let whole = time.subsec_nanosecond() / 1_000 == 0;
    let format = if whole { "%Y-%m-%dT%H:%M:%S+00:00" } else { "%Y-%m-%dT%H:%M:%S.%6f+00:00" };
    time.strftime(format).to_string()
}

/// A member's name in JSON and its shape.
fn member(entry: &Value) -> Option<(&str, &str)> {
    Some((entry[0].as_str()?, entry[1].as_str()?))
}

fn form(form: &'static str, message: String) -> ShapeError {
    ShapeError::Form { form, message }
}

/// Where JSON breaks, without its text.
fn position(error: &serde_json::Error) -> String {
    format!("line {} column {}", error.line(), error.column())
}

/// The table; a test makes sure that it can be read.
static TABLE: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(include_str!("shapes.json")).unwrap_or_default());

/// A page of a thousand network interfaces has about a quarter of a million nodes.
const MOST_NODES: u32 = 8_000_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn xml_becomes_what_the_command_line_prints() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>8f7724cf-496f-496e-8fe3-example</requestId>
    <reservationSet>
        <item>
            <reservationId>r-1</reservationId>
            <groupSet/>
            <instancesSet>
                <item>
                    <instanceId>i-1</instanceId>
                    <somethingNew><item>1</item></somethingNew>
                    <imageId></imageId>
                    <instanceState><code>16</code><name>a-state-of-tomorrow</name></instanceState>
                    <launchTime>2023-05-05T12:00:00.000Z</launchTime>
                    <usageOperationUpdateTime>2023-05-05T12:00:00.123Z</usageOperationUpdateTime>
                    <sourceDestCheck>true</sourceDestCheck>
                    <amiLaunchIndex>many</amiLaunchIndex>
                    <tagSet><item><key>Name</key><value>a &amp; b</value></item></tagSet>
                </item>
            </instancesSet>
        </item>
    </reservationSet>
    <nextToken>more</nextToken>
</DescribeInstancesResponse>"#;
        let expected = json!({"NextToken": "more", "Reservations": [{"ReservationId": "r-1", "Groups": [], "Instances": [{
            "InstanceId": "i-1", "ImageId": "", "State": {"Code": 16, "Name": "a-state-of-tomorrow"},
            "LaunchTime": "2023-05-05T12:00:00+00:00",
            "UsageOperationUpdateTime": "2023-05-05T12:00:00.123000+00:00",
            "SourceDestCheck": true, "AmiLaunchIndex": "many", "Tags": [{"Key": "Name", "Value": "a & b"}]}]}]});
        assert_eq!(document(Action::DescribeInstances, xml).unwrap(), expected);
    }

    #[test]
    fn json_times_become_text_and_nothing_unknown_gets_through() {
        let body = br#"{"cluster": {"name": "prod", "createdAt": 1683288000.123, "tags": {"createdAt": "now"},
            "status": "A_STATE_OF_TOMORROW", "endpoint": null, "password": "x",
            "resourcesVpcConfig": {"publicAccessCidrs": ["0.0.0.0/0"], "endpointPublicAccess": true}}}"#;
        let expected = json!({"cluster": {"name": "prod", "createdAt": "2023-05-05T12:00:00.123000+00:00",
            "tags": {"createdAt": "now"}, "status": "A_STATE_OF_TOMORROW",
            "resourcesVpcConfig": {"publicAccessCidrs": ["0.0.0.0/0"], "endpointPublicAccess": true}}});
        assert_eq!(document(Action::DescribeCluster, body).unwrap(), expected);
        let whole = br#"{"update": {"id": "u", "createdAt": 1683288000}}"#;
        let update = document(Action::DescribeUpdate, whole).unwrap();
        assert_eq!(update["update"]["createdAt"], "2023-05-05T12:00:00+00:00");
        let beyond = br#"{"update": {"createdAt": 1e300}}"#;
        assert_eq!(document(Action::DescribeUpdate, beyond).unwrap()["update"]["createdAt"], json!(1e300));
    }

    #[test]
    fn secrets_of_vpn_connections_do_not_get_through() {
        let xml = br"<DescribeVpnConnectionsResponse><vpnConnectionSet><item>
            <vpnConnectionId>vpn-1</vpnConnectionId>
            <customerGatewayConfiguration>&lt;ike&gt;hunter2&lt;/ike&gt;</customerGatewayConfiguration>
            <options><tunnelOptionSet><item><outsideIpAddress>192.0.2.1</outsideIpAddress>
              <preSharedKey>hunter2</preSharedKey></item></tunnelOptionSet></options>
            </item></vpnConnectionSet></DescribeVpnConnectionsResponse>";
        let document = document(Action::DescribeVpnConnections, xml).unwrap();
        assert_eq!(document["VpnConnections"][0]["VpnConnectionId"], "vpn-1");
        assert_eq!(document["VpnConnections"][0]["Options"]["TunnelOptions"][0]["OutsideIpAddress"], "192.0.2.1");
        assert!(!document.to_string().contains("hunter2"));
    }

    #[test]
    fn what_is_not_of_the_form_is_an_error_that_repeats_nothing() {
        for body in [&b"hunter2"[..], b"<a>hunter2", b"<!DOCTYPE a [<!ENTITY b 'hunter2'>]><a>&b;</a>", b"\xff"] {
            let error = document(Action::DescribeVpcs, body).unwrap_err().to_string();
            assert!(error.starts_with("the answer is not") && !error.contains("hunter2"), "{error}");
        }
        let error = document(Action::DescribeCluster, b"{hunter2").unwrap_err().to_string();
        assert!(error.contains("JSON") && !error.contains("hunter2"), "{error}");
        for body in [&b"[]"[..], b"{}", b"7", br#"{"a": 1}"#, br#"{"cluster": []}"#, br#"{"cluster": {"tags": 1}}"#] {
            let error = document(Action::DescribeCluster, body).unwrap_err();
            assert_eq!(error, ShapeError::Other("DescribeCluster"));
        }
        assert_eq!(document(Action::ListUpdates, b"{}").unwrap(), json!({}));
        let portal = document(Action::DescribeVpcs, b"<html><body>Log in</body></html>").unwrap_err();
        assert_eq!(portal.to_string(), "an answer that cannot be read: it is not what DescribeVpcs gives");
    }

    #[test]
    fn the_table_is_complete_and_bounded() {
        for action in Action::ALL {
            let service = &TABLE[action.service()];
            let output = service["operations"][action.operation()].as_str().unwrap();
            walk(output, &service["shapes"], &mut Vec::new());
        }
        let operations: usize =
            ["ec2", "eks"].iter().map(|service| TABLE[service]["operations"].as_object().unwrap().len()).sum();
        assert_eq!(operations, Action::ALL.len());
        let names: BTreeSet<&str> = include_str!("shapes.json").split('"').collect();
        for secret in ["PreSharedKey", "CustomerGatewayConfiguration", "UserData"] {
            assert!(!names.contains(secret), "{secret}");
        }
    }

    /// Panics where a shape holds itself.
    fn walk<'a>(shape: &'a str, shapes: &'a Value, above: &mut Vec<&'a str>) {
        assert!(!above.contains(&shape), "{above:?} {shape}");
        above.push(shape);
        match &shapes[shape] {
            Value::Object(members) => members.values().for_each(|entry| walk(member(entry).unwrap().1, shapes, above)),
            Value::Array(items) => walk(items[0].as_str().unwrap(), shapes, above),
            Value::String(kind) => {
                assert!(["integer", "float", "boolean", "timestamp", "map"].contains(&kind.as_str()), "{kind}");
            }
            _ => {}
        }
        above.pop();
    }
}
