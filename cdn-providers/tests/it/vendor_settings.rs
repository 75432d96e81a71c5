//! Settings that several vendors have.

use crate::providers_from;

#[test]
fn a_customer_has_a_share_of_a_quota() {
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("secret");
    std::fs::write(&secret, "ExampleSecretExampleSecretExample").unwrap();
    let settings = |kind: &str, [id, key]: [&str; 2], line: &str| {
        let secret = format!("\"file:{}\"", secret.display());
        format!("[[cdn]]\nname = \"v\"\nkind = \"{kind}\"\n{id} = {secret}\n{key} = {secret}\n{line}\n")
    };
    for (kind, keys) in
        [("tencent", ["secret_id", "secret_key"]), ("alibaba", ["access_key_id", "access_key_secret"])]
    {
        let share = |line: &str| {
            let providers = providers_from(&settings(kind, keys, line));
            providers.map(|providers| providers.get("v").unwrap().capabilities().share_per_customer)
        };
        assert_eq!(share(""), Ok(100), "{kind}");
        assert_eq!(share("share_per_customer = 30"), Ok(30), "{kind}");
        for percent in [0, 101] {
            let reason = format!("cdn.share_per_customer: must be 1 to 100, not {percent}");
            assert_eq!(share(&format!("share_per_customer = {percent}")), Err(reason), "{kind}");
        }
    }
    let without = settings("cloudfront", ["access_key_id", "secret_access_key"], "share_per_customer = 30");
    let why = providers_from(&without).unwrap_err();
    assert!(why.contains("unknown field `share_per_customer`"), "CloudFront has no quota of a day: {why}");
}
