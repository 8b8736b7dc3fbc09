//! Pages made one document, and documents made the same bytes whenever they say the same.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// Adds a page: lists grow, everything else is as the newest page says.
pub(super) fn merge(document: &mut Map<String, Value>, page: Map<String, Value>) {
    for (name, value) in page {
        match (document.get_mut(&name), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (_, value) => {
                document.insert(name, value);
            }
        }
    }
}

/// Takes out the token of the next page; an empty one is none.
pub(super) fn take_token(page: &mut Map<String, Value>) -> Option<String> {
    let tokens = ["NextToken", "nextToken"].map(|name| page.remove(name));
    tokens.into_iter().flatten().find_map(|token| match token {
        Value::String(token) if !token.is_empty() => Some(token),
        _ => None,
    })
}

/// The same content in one order: keys by name, lists by what identifies their items, then by all they hold.
///
/// The provider promises no order of its lists. Where the order itself says something, it stays.
#[must_use]
pub(super) fn sorted(value: Value) -> Value {
    sorted_in("", value)
}

fn sorted_in(name: &str, value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> =
                fields.into_iter().map(|(name, value)| (name.clone(), sorted_in(&name, value))).collect();
            fields.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(|item| sorted_in("", item)).collect();
            if !ORDERED.contains(&name) {
                let keys = IDENTITIES.iter().find(|(list, _)| *list == name).map_or(&[][..], |(_, keys)| keys);
                items.sort_by(|left, right| compare(left, right, keys));
            }
            Value::Array(items)
        }
        scalar => scalar,
    }
}

fn compare(left: &Value, right: &Value, keys: &[&str]) -> Ordering {
    keys.iter()
        .map(|key| scalars(&left[key], &right[key]))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| scalars(left, right))
}

/// Numbers by size, text by its bytes, everything else by its JSON, whose keys are in order by now.
fn scalars(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left.to_string().cmp(&right.to_string()),
        },
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        _ => left.to_string().cmp(&right.to_string()),
    }
}

/// Lists whose order says something: name servers are asked in turn, tunnels are numbered, updates come in the
/// provider's order.
const ORDERED: &[&str] = &["Values", "TunnelOptions", "updateIds"];

/// What identifies the items of a list, so that one whose other fields change keeps its place.
const IDENTITIES: &[(&str, &[&str])] = &[
    ("Vpcs", &["VpcId"]),
    ("DhcpOptions", &["DhcpOptionsId"]),
    ("DhcpConfigurations", &["Key"]),
    ("Subnets", &["SubnetId"]),
    ("RouteTables", &["RouteTableId"]),
    ("Routes", &["DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId", "PrefixListId"]),
    ("NetworkAcls", &["NetworkAclId"]),
    ("Entries", &["Egress", "RuleNumber", "Cidr"]),
    ("SecurityGroups", &["GroupId"]),
    ("SecurityGroupRules", &["SecurityGroupRuleId"]),
    ("IpPermissions", &["IpProtocol", "FromPort", "ToPort"]),
    ("IpPermissionsEgress", &["IpProtocol", "FromPort", "ToPort"]),
    ("IpRanges", &["CidrIp"]),
    ("Ipv6Ranges", &["CidrIpv6"]),
    ("UserIdGroupPairs", &["GroupId"]),
    ("PrefixListIds", &["PrefixListId"]),
    ("NetworkInterfaces", &["NetworkInterfaceId"]),
    ("PrivateIpAddresses", &["PrivateIpAddress"]),
    ("Reservations", &["ReservationId"]),
    ("Instances", &["InstanceId"]),
    ("BlockDeviceMappings", &["DeviceName"]),
    ("NatGateways", &["NatGatewayId"]),
    ("NatGatewayAddresses", &["AllocationId", "PrivateIp"]),
    ("InternetGateways", &["InternetGatewayId"]),
    ("EgressOnlyInternetGateways", &["EgressOnlyInternetGatewayId"]),
    ("PrefixLists", &["PrefixListId"]),
    ("VpcPeeringConnections", &["VpcPeeringConnectionId"]),
    ("TransitGateways", &["TransitGatewayId"]),
    ("TransitGatewayAttachments", &["TransitGatewayAttachmentId"]),
    ("TransitGatewayVpcAttachments", &["TransitGatewayAttachmentId"]),
    ("TransitGatewayRouteTables", &["TransitGatewayRouteTableId"]),
    ("VpnGateways", &["VpnGatewayId"]),
    ("VpnConnections", &["VpnConnectionId"]),
    ("VgwTelemetry", &["OutsideIpAddress"]),
    ("VpcEndpoints", &["VpcEndpointId"]),
    ("Associations", &["RouteTableAssociationId", "NetworkAclAssociationId"]),
    ("Tags", &["Key"]),
    ("params", &["type"]),
    ("certificateAuthorities", &["id"]),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_make_one_document_without_token() {
        let mut document = Map::new();
        let pages = [
            json!({"Vpcs": [1, 2], "NextToken": "a", "More": true}),
            json!({"Vpcs": [3], "nextToken": "", "More": false}),
            json!({"NextToken": null}),
        ];
        let mut tokens = Vec::new();
        for page in pages {
            let Value::Object(mut page) = page else { unreachable!() };
            tokens.push(take_token(&mut page));
            merge(&mut document, page);
        }
        assert_eq!(tokens, [Some("a".to_owned()), None, None]);
        assert_eq!(Value::Object(document), json!({"Vpcs": [1, 2, 3], "More": false}));
    }

    #[test]
    fn lists_have_one_order_but_for_those_whose_order_counts() {
        let first = json!({"NetworkAcls": [{"NetworkAclId": "b", "Entries": [
                {"RuleNumber": 100, "Egress": false}, {"RuleNumber": 20, "Egress": true}, {"Egress": false, "RuleNumber": 20}]},
                {"NetworkAclId": "a"}],
            "DhcpOptions": [{"DhcpConfigurations": [{"Key": "domain-name-servers", "Values": [{"Value": "9"}, {"Value": "1"}]}]}],
            "publicAccessCidrs": ["10.0.0.0/8", "1.0.0.0/8"]});
        let sorted = sorted(first);
        let acls = &sorted["NetworkAcls"];
        assert_eq!(acls[0]["NetworkAclId"], "a");
        let numbers: Vec<_> = acls[1]["Entries"].as_array().unwrap().iter().map(|entry| &entry["RuleNumber"]).collect();
        assert_eq!(numbers, [20, 100, 20]);
        assert_eq!(sorted["DhcpOptions"][0]["DhcpConfigurations"][0]["Values"][0]["Value"], "9");
        assert_eq!(sorted["publicAccessCidrs"], json!(["1.0.0.0/8", "10.0.0.0/8"]));
    }

    #[test]
    fn an_item_keeps_its_place_when_another_field_changes() {
        let order = |state: &str| {
            let document =
                json!({"VpcEndpoints": [{"VpcEndpointId": "2", "A": state}, {"VpcEndpointId": "1", "A": "m"}]});
            sorted(document)["VpcEndpoints"][0]["VpcEndpointId"].clone()
        };
        assert_eq!((order("a"), order("z")), (json!("1"), json!("1")));
    }
}
