//! The core's conformance cases on every emulated board, as many as on the host.

use std::time::Duration;

use mixel::device::{boards, doctor, run_program};

#[test]
fn every_board_computes_what_the_specification_says() {
    if let Some(lack) = doctor::checks().into_iter().find(|check| !check.optional && !check.ok()) {
        println!("SKIPPED: conformance on emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for board in boards().iter().filter(|board| board.is_emulated()) {
        let ran = run_program(board, "mixel-conformance", folder.path(), Duration::from_secs(300)).unwrap();
        let last = ran.log.last().cloned().unwrap_or_default();
        println!("{}: {last}", board.name);
        assert_eq!(ran.exit, Some(0), "{}:\n{}", board.name, ran.log.join("\n"));
        assert!(last.ends_with("cases passed, 0 failed"), "{}: {last}", board.name);
    }
}
