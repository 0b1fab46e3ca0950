//! All conformance cases on this machine.

#[test]
fn all_cases_agree_with_their_reference() {
    let mut memory = vec![0u8; mixel_testkit::MEMORY];
    let (mut cases, mut failed) = (0, Vec::new());
    mixel_testkit::run_all(&mut memory, &mut |name, result| {
        cases += 1;
        if let Err(failure) = result {
            failed.push(format!("{name}: {failure}"));
        }
    });
    assert!(cases > 300, "only {cases} cases were run");
    assert!(failed.is_empty(), "{} of {cases} failed:\n{}", failed.len(), failed.join("\n"));
}
