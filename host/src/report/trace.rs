//! A profile as a trace that Perfetto and Chrome open (Trace Event Format, complete events).

use serde_json::{Value, json};

/// One operator's part of a run.
pub struct Slice<'a> {
    /// Name of the operator.
    pub name: &'a str,
    /// What it does.
    pub op: &'a str,
    /// Instructions or cycles.
    pub count: u64,
    /// Multiply-accumulates.
    pub macs: u64,
}

/// One run as a trace: the time axis, in microseconds for the viewer, counts `unit`.
pub fn trace(model: &str, board: &str, unit: &str, slices: &[Slice<'_>]) -> Value {
    let mut start = 0;
    let mut events = vec![
        json!({ "ph": "M", "pid": 1, "name": "process_name", "args": { "name": format!("{model} on {board}") } }),
        json!({ "ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": { "name": format!("1 us = 1 of {unit}") } }),
    ];
    for slice in slices {
        events.push(json!({
            "ph": "X", "pid": 1, "tid": 1, "ts": start, "dur": slice.count, "name": slice.name, "cat": slice.op,
            "args": { "op": slice.op, "macs": slice.macs, unit: slice.count },
        }));
        start += slice.count;
    }
    json!({ "traceEvents": events, "otherData": { "board": board, "unit": unit } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_follow_each_other() {
        let slice = |name, count| Slice { name, op: "Conv", count, macs: 1 };
        let trace = trace("m", "b", "cycles", &[slice("first", 10), slice("second", 5)]);
        let second = &trace["traceEvents"][3];
        assert_eq!((second["ts"].as_u64(), second["dur"].as_u64()), (Some(10), Some(5)));
        assert_eq!(second["args"]["cycles"], 5);
    }
}
