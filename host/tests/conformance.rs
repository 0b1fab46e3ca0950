//! The core's conformance cases on every emulated board, as many as on the host.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mixel::device::{Board, boards, doctor, run_program};

#[test]
fn every_board_computes_what_the_specification_says() {
    if let Some(lack) = doctor::checks().into_iter().find(|check| !check.optional && !check.ok()) {
        println!("SKIPPED: conformance on emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    // Programs are built for two boards at a time, in folders of their own.
    let boards: Vec<_> = boards().iter().filter(|board| board.is_emulated()).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(board) = boards.get(next.fetch_add(1, Ordering::Relaxed)) {
                    passes(board);
                }
            });
        }
    });
}

fn passes(board: &Board) {
    let folder = tempfile::tempdir().unwrap();
    let ran = run_program(board, "mixel-conformance", folder.path(), Duration::from_secs(300)).unwrap();
    let last = ran.log.last().cloned().unwrap_or_default();
    println!("{}: {last}", board.name);
    assert_eq!(ran.exit, Some(0), "{}:\n{}", board.name, ran.log.join("\n"));
    assert!(last.ends_with("cases passed, 0 failed"), "{}: {last}", board.name);
}
