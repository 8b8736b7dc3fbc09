use super::*;

#[test]
fn where_history_goes_is_read_by_itself() {
    let folder = folder();
    let file = folder.path().join("watch.yaml");
    // Nothing else that it names is there.
    let text = WHOLE.replace("prod.yaml", "none.yaml").replace("HOOK", "NOWHERE").replace("token.txt", "none.txt");
    assert!(read::read(&text, &file, &|_| None).is_err());
    let storage = read::read_storage(&text, &file, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(matches!(storage, Storage::Postgres { .. }));
    for (text, part) in [
        (least("  storage: { sqlite: nowhere/a.db }", ""), "does not exist"),
        (least("  storge: { sqlite: a.db }", ""), "did you mean `storage`?"),
        ("watch: { storage: { sqlite: a.db } }\n".to_owned(), "lacks its `apiVersion`"),
        ("apiVersion: kubereach/v1\n".to_owned(), "lacks its `watch`"),
    ] {
        let told = read::read_storage(&text, &file, &|_| None).unwrap_err().to_string();
        assert!(told.contains(part), "{text}: {told}");
    }
}

#[test]
fn what_is_probably_not_meant_is_told() {
    assert_eq!(good(WHOLE).doubts(), Vec::<String>::new());
    let text = least(
        "  maintenance: [{ name: night, clusters: 'x*', cron: '0 2 * * *', lasts: 1h }]\n  alerts:\n    \
         receivers: { a: { command: [/bin/sh] }, b: { command: [/bin/sh] } }\n    \
         routes: [{ receivers: a, clusters: ['prod*', 'q*'], vantages: '*z' }, { receivers: a, clusters: stage, vantages: ci }]",
        "",
    );
    let expected = [
        "route 1: there is no cluster `q*`, vantage `*z`",
        "route 2 fits no cell",
        "maintenance window `night`: there is no cluster `x*`",
        "no route names the receiver `b`",
    ];
    assert_eq!(good(&text).doubts(), expected);
}
