use serde_json::json;

use super::{super::carried_over, aws, configured, documents, eks, of};

#[test]
fn a_document_that_was_not_readable_once_loses_no_change() {
    let (cluster, groups, acls) = (eks(), aws("SecurityGroups"), aws("NetworkAcls"));
    let first = of(&[("eks/describe-cluster.json", &cluster), ("ec2/groups.json", &groups), ("ec2/acls.json", &acls)]);
    // The groups cannot be read, and their rules are changed meanwhile.
    let second = carried_over(&first, of(&[("eks/describe-cluster.json", &cluster), ("ec2/acls.json", &acls)]));
    assert_eq!((second.hash, &second.body), (first.hash, &first.body), "nothing is known to have changed");
    let mut narrower = cluster.clone();
    narrower["cluster"]["resourcesVpcConfig"]["publicAccessCidrs"] = json!(["198.51.100.0/24"]);
    let third = carried_over(&second, of(&[("eks/describe-cluster.json", &narrower)]));
    assert_eq!(configured(&second, &third).len(), 1);
    assert_eq!(documents(&third).len(), 3);
    let mut fewer = groups.clone();
    let dropped = fewer["SecurityGroups"].as_array_mut().unwrap().pop().unwrap();
    let whole = of(&[("eks/describe-cluster.json", &narrower), ("ec2/groups.json", &fewer), ("ec2/acls.json", &acls)]);
    let fourth = carried_over(&third, whole.clone());
    assert_eq!(fourth.hash, whole.hash, "what was read is what counts");
    let told = configured(&third, &fourth);
    let name = dropped["GroupId"].as_str().unwrap();
    assert!(told.iter().any(|change| change.text.contains(name)), "{told:?}");
}
