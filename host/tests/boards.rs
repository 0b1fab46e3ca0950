//! The emulated boards themselves: what they measure, that plans run on them as on the host, and what they
//! refuse. Whole models on boards are in `models.rs`.

use std::time::Duration;

use mixel::ErrorKind;
use mixel::device::{Board, Options, Sample, Unit, boards, doctor, run, run_program};
use mixel_core::kernels::OpKind;
use mixel_core::pack::Layout;
use mixel_core::plan::format::{NO_NAME, Section};
use mixel_core::plan::write::{MemorySizes, Params, Writer};
use mixel_core::plan::{DType, Direction, Place, Tensor};

/// The boards that QEMU plays, or a loud word that it is missing.
fn emulated() -> Vec<&'static Board> {
    let lacks: Vec<_> = doctor::checks().into_iter().filter(|check| !check.optional && !check.ok()).collect();
    if let Some(lack) = lacks.first() {
        println!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return Vec::new();
    }
    boards().iter().filter(|board| board.is_emulated()).collect()
}

const LENGTH: u32 = 1000;
/// The table of both operators: `-1 - x`, so that two of them give back the input.
fn complement(x: i8) -> i8 {
    !x
}

/// A plan of two tables after each other, in place on the second.
fn plan() -> Vec<u8> {
    let mut memory = vec![0; 4096];
    let mut writer = Writer::new(&mut memory, [512; Section::COUNT]);
    let mut write = || {
        let table: Vec<u8> = (i8::MIN..=i8::MAX).map(|x| complement(x) as u8).collect();
        let table = writer.data(&table)?;
        let at = |offset| Tensor {
            dtype: DType::I8,
            place: Place::Arena,
            dynamic: 0,
            rank: 2,
            dims: [1, 1, 1, LENGTH],
            offset,
            scale: 1.0,
            zero_point: 0,
        };
        let (first, second) = (writer.tensor(&at(0))?, writer.tensor(&at(1008))?);
        let third = writer.tensor(&at(1008))?;
        let params = Params::new().constant(table, 256);
        writer.operator(OpKind::Lut, &[first], &[second], params.bytes())?;
        writer.operator(OpKind::Lut, &[second], &[third], params.bytes())?;
        writer.port(first, Direction::Input, NO_NAME)?;
        writer.port(third, Direction::Output, NO_NAME)?;
        let sizes = MemorySizes { tensors: 2016, scratch: 0, state: 0, max_rows: 0 };
        let mut plan = vec![0; 4096];
        let length = writer.finish(Layout::Generic, sizes, &mut plan)?;
        plan.truncate(length);
        Ok::<_, mixel_core::plan::write::WriteError>(plan)
    };
    write().unwrap()
}

fn sample(first: i32) -> Vec<u8> {
    (0..LENGTH as i32).map(|x| (first + 7 * x) as u8).collect()
}

fn tensors(bytes: Vec<u8>) -> Sample {
    Sample::Tensors { rows: None, inputs: vec![bytes] }
}

#[test]
fn boards_measure_what_they_say() {
    for board in emulated() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("input"), "mixel").unwrap();
        let ran = run_program(board, "mixel-selftest", folder.path(), Duration::from_secs(60)).unwrap();
        println!("{}:\n  {}", board.name, ran.log.join("\n  "));
        assert_eq!(ran.exit, Some(0), "{}", board.name);
        assert_eq!(ran.log.iter().filter(|line| line.ends_with(": ok")).count(), 5, "{}", board.name);
        assert_eq!(std::fs::read(folder.path().join("output")).unwrap(), b"mixel");
    }
}

#[test]
fn a_plan_runs_with_checksums_times_and_memory() {
    let plan = plan();
    for board in emulated() {
        let inputs = [sample(1), sample(2)];
        let options = Options { runs: 3, checksums: true, dump: Some(0), ..Options::default() };
        let samples = inputs.clone().map(tensors);
        let ran = run(board, &plan, &samples, &options).unwrap();
        let complements = inputs.clone().map(|input| input.iter().map(|x| !x).collect::<Vec<u8>>());
        assert_eq!(ran.outputs, inputs.clone().map(|input| vec![input]), "{}", board.name);
        assert_eq!(ran.dumps, complements);
        for (sums, (input, complement)) in ran.checksums.iter().zip(inputs.iter().zip(&complements)) {
            assert_eq!(sums[..], [mixel_wire::crc32(complement), mixel_wire::crc32(input)]);
        }
        assert_eq!(ran.arena_bytes, 2016);
        let profile = ran.profile.unwrap();
        assert_eq!((profile.unit, profile.ops.len()), (Unit::Instructions, 2));
        // Virtual time follows instructions alone, so every run counts the same.
        assert_eq!(profile.total.min, profile.total.max, "{}", board.name);
        let sum: u64 = profile.ops.iter().map(|op| op.median).sum();
        println!(
            "{}: {} instructions, {sum} in operators, {} bytes of stack",
            board.name, profile.total.median, profile.stack_bytes
        );
        assert!(sum > 2 * u64::from(LENGTH) && sum <= profile.total.median);
        assert!((16..4096).contains(&profile.stack_bytes));
        let again = run(board, &plan, &samples, &options).unwrap();
        assert_eq!(again.profile, Some(profile), "{}", board.name);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let Some(board) = emulated().pop() else { return };
    let options = Options::default();
    let refused = |plan: &[u8], bytes: Vec<u8>| run(board, plan, &[tensors(bytes)], &options).unwrap_err();

    let mut damaged = plan();
    damaged[100] ^= 1;
    let error = refused(&damaged, sample(0));
    assert_eq!(error.kind, ErrorKind::Plan);
    assert!(error.to_string().contains("checksum"), "{error}");

    let mut foreign = plan();
    foreign[6] = Layout::X86 as u8;
    mixel_core::plan::write::seal(&mut foreign);
    let error = refused(&foreign, sample(0));
    assert_eq!(error.kind, ErrorKind::Plan);
    assert!(error.to_string().contains("--target"), "{error}");

    let error = refused(&plan(), vec![0; 3]);
    assert_eq!(error.kind, ErrorKind::Input);
    assert!(error.to_string().contains("3 bytes for input 0, which takes 1000"), "{error}");

    let error = run(board, &plan(), &[Sample::Text("hello".into())], &options).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Input);
    assert!(error.to_string().contains("text"), "{error}");
}

#[test]
fn a_job_that_takes_too_long_is_ended() {
    let Some(board) = emulated().pop() else { return };
    let options = Options { runs: u32::MAX, timeout: Duration::from_millis(500), ..Options::default() };
    let error = run(board, &plan(), &[tensors(sample(0))], &options).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Device);
    assert!(error.to_string().contains("no end after"), "{error}");
}
